import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test, vi } from 'vitest';
import { WAIT } from '../helpers/imap/inbound-service.ts';
import { API_KEY, startService } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const GUIDE = readFileSync(new URL('../../docs/guides/bounces.md', import.meta.url), 'utf8');

/** The settings and the commands of the section "Rehearse it". */
function recipe() {
  const section = GUIDE.split('## Rehearse it')[1]?.split('\n## ')[0] ?? '';
  const [, settings = '', commands = ''] = [...section.matchAll(/^```\n(.*?)^```/gms)].map(
    ([, code]) => code,
  );
  const env = Object.fromEntries(
    [...settings.matchAll(/\b([A-Z_]+)=(\S+)/g)].map(([, name, value]) => [name, value]),
  );
  const [send = '', list = ''] = commands.split(/^sleep 3$/m);
  return { env, send, list };
}

test('a bounce is rehearsed as the guide shows', { timeout: 60_000 }, async () => {
  const { env, send, list } = recipe();
  const { INBOUND, GMAIL_USER, GMAIL_APP_PASSWORD } = env;
  await using gmail = await startSimulator({ user: GMAIL_USER, password: GMAIL_APP_PASSWORD });
  await using service = await startService({
    smtp: gmail.url,
    ca: gmail.ca,
    env: { INBOUND, GMAIL_USER, GMAIL_APP_PASSWORD, IMAP_URL: gmail.imap.url },
  });
  await using directory = await mkdtempDisposable(join(tmpdir(), 'guide-'));
  await writeFile(join(directory.path, 'key.txt'), `${API_KEY}\n`);
  const shell = async (commands: string) => {
    const here = commands.replaceAll('http://localhost:3000', service.url);
    const options = { cwd: directory.path, env: { PATH: process.env.PATH } };
    return (await promisify(execFile)('bash', ['-e', '-c', here], options)).stdout;
  };
  expect(JSON.parse(await shell(send))).toMatchObject({ status: 'sent' });
  await vi.waitFor(async () => {
    expect(JSON.parse(await shell(list))).toMatchObject({
      messages: [{ bounced: true, recipients: [{ status: 'bounced', bounce: { class: 'hard' } }] }],
    });
  }, WAIT);
  expect(Object.keys(env)).toEqual(
    expect.arrayContaining(['SMTP_URL', 'IMAP_URL', 'NODE_EXTRA_CA_CERTS', 'API_KEYS']),
  );
});
