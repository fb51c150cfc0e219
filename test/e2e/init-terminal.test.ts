import { describe, test, vi } from 'vitest';
import { fixOf } from '../../src/doctor/troubleshooting.ts';
import { createInitFolder } from '../helpers/init.ts';
import { consent } from '../helpers/login.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { CTRL_C, hasScript, runInTerminal } from '../helpers/terminal.ts';

// Each test starts processes.
vi.setConfig({ testTimeout: 60_000 });

const ADDRESS = /account: $/;
const LOGIN = /Number \[1\]: $/;
const PASSWORD = /App password \(not shown\): $/;
const TEST_MESSAGE = /Send a test message to \S+\? \[Y\/n\]: $/;
const WRONG_PASSWORD = 'wrongwrongwrongw';

describe.runIf(hasScript).concurrent('outtray init in a terminal (skipped without script)', () => {
  test('asks again after each wrong answer, then writes .env and sends a test message', async ({
    expect,
  }) => {
    await using gmail = await startSimulator();
    await using folder = await createInitFolder(gmail);
    await using terminal = runInTerminal(['init'], folder.env, folder.path);
    await terminal.saw(ADDRESS);
    terminal.enter('ada');
    await terminal.saw(/There is no @ in the address/);
    await terminal.saw(ADDRESS);
    terminal.enter(gmail.user);
    await terminal.saw(LOGIN);
    terminal.enter('7');
    await terminal.saw(/Answer with a number from 1 to 3\./);
    await terminal.saw(LOGIN);
    terminal.enter('');
    await terminal.saw(PASSWORD);
    terminal.enter('abcd efgh ijkl mno');
    await terminal.saw(/It has 15 letters\./);
    await terminal.saw(PASSWORD);
    terminal.enter('hunter2hunter2hu');
    await terminal.saw(/It has more than letters and spaces\./);
    await terminal.saw(PASSWORD);
    terminal.enter(WRONG_PASSWORD);
    await terminal.saw(/535 5\.7\.8/);
    await terminal.saw(PASSWORD);
    terminal.enter('abcd efgh ijkl mnop');
    await terminal.saw(TEST_MESSAGE);
    terminal.enter('');
    expect(await terminal.ended).toBe(0);

    const screen = terminal.screen();
    expect(screen).toContain(fixOf('bad_credentials'));
    expect(screen).not.toMatch(/abcd|hunter2|wrongwrong/);
    const [, key = ''] = /^API_KEYS=default:(\w{48})$/m.exec(folder.read('.env')) ?? [];
    expect(screen).toContain(`API key "default", which is also in the file: ${key}\n`);
    expect(folder.read('.env')).toContain(`GMAIL_USER=${gmail.user}\nGMAIL_APP_PASSWORD=abcdefghijklmnop\n`);
    expect(gmail.messages).toMatchObject([{ user: gmail.user, recipients: [gmail.user] }]);
  });

  test('logs in with OAuth after consent in a browser', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createInitFolder(gmail);
    await using terminal = runInTerminal(['init', '--user', gmail.user], folder.env, folder.path);
    await terminal.saw(LOGIN);
    terminal.enter('2');
    await terminal.saw(/: $/);
    terminal.enter(folder.webClientFile);
    await terminal.saw(/The client in --client-file is for web applications/);
    await terminal.saw(/: $/);
    terminal.enter(folder.clientFile);
    await terminal.saw(/browser on this machine\? \[Y\/n\]: $/);
    terminal.enter('');
    await fetch(await consent((await terminal.saw(/http:\/\/\S+\/login/))[0], { decision: 'cancel' }));
    await terminal.saw(/Not logged in: .*access_denied/);
    await terminal.saw(/Try again\? \[Y\/n\]: $/);
    terminal.enter('y');
    await fetch(await consent((await terminal.saw(/http:\/\/\S+\/login/))[0]));
    await terminal.saw(TEST_MESSAGE);
    terminal.enter('');
    expect(await terminal.ended).toBe(0);
    expect(folder.read('.env')).toContain('GMAIL_OAUTH_FILE=gmail-oauth.json\n');
    expect(gmail.messages).toMatchObject([{ authMethod: 'XOAUTH2' }]);
  });

  test('takes a pasted address on a machine without a browser', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createInitFolder(gmail);
    const args = ['init', '--user', gmail.user, '--client-file', folder.clientFile];
    await using terminal = runInTerminal(args, folder.env, folder.path);
    await terminal.saw(/browser on this machine\? \[Y\/n\]: $/);
    terminal.enter('n');
    const [page] = await terminal.saw(/http:\/\/\S+\/o\/oauth2\S+(?=\n)/);
    terminal.enter(await consent(page));
    await terminal.saw(TEST_MESSAGE);
    terminal.enter('n');
    expect(await terminal.ended).toBe(0);
    expect(gmail.messages).toEqual([]);
  });

  test('offers a personal account no login of a Workspace', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createInitFolder(gmail);
    await using terminal = runInTerminal(['init'], folder.env, folder.path);
    await terminal.saw(ADDRESS);
    terminal.enter('You@Gmail.com');
    await terminal.saw(LOGIN);
    terminal.type(CTRL_C);
    expect(await terminal.ended).toBe(130);
    expect(terminal.screen()).not.toContain('Workspace relay');
    expect(terminal.screen()).not.toContain('service account');
  });

  test.for([
    ['Ctrl-C', `abcd${CTRL_C}`],
    ['Ctrl-D', '\x04'],
  ])('%s at a question ends it, and nothing is written', async ([, keys = ''], { expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createInitFolder(gmail);
    await using terminal = runInTerminal(['init', '--user', gmail.user], folder.env, folder.path);
    await terminal.saw(LOGIN);
    terminal.enter('1');
    await terminal.saw(PASSWORD);
    terminal.type(keys);
    const code = await terminal.ended;
    expect(terminal.screen()).toContain('Canceled.');
    expect(terminal.screen()).not.toContain('abcd');
    expect(code).toBe(130);
    expect(folder.created()).toEqual([]);
  });

  test('Ctrl-C while it waits for consent ends it, and nothing is written', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createInitFolder(gmail);
    const args = ['init', '--user', gmail.user, '--client-file', folder.clientFile, '--port', '0'];
    await using terminal = runInTerminal(args, folder.env, folder.path);
    await terminal.saw(/paste its address here:\n/);
    terminal.type(CTRL_C);
    expect(await terminal.ended).toBe(130);
    expect(terminal.screen()).toContain('Canceled.');
    expect(folder.created()).toEqual([]);
  });
});
