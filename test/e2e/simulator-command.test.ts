import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { runSimulator } from '../../src/simulator/command.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

describe('outtray simulator', () => {
  test('prints the settings of the Workspace relay with --relay', async () => {
    const stop = new AbortController();
    const output: string[] = [];
    const ports = ['--smtp-port', '0', '--smtps-port', '0', '--http-port', '0'];
    const ended = runSimulator(
      [...ports, '--relay', 'Acme.test', '--relay', 'acme.example'],
      {
        out(line) {
          output.push(line);
          if (line.includes('/token-lifetime')) stop.abort();
        },
        err: expect.unreachable,
      },
      stop.signal,
    );
    expect(await ended).toBe(0);
    const text = output.join('\n');
    expect(text).toContain('GMAIL_USER=bot@acme.test\n  GMAIL_DOMAINS=acme.test,acme.example\n');
    expect(text).toMatch(/SMTP_URL=smtp:\/\/localhost:\d+\?login=none,smtps:\/\/localhost:\d+\?login=none\n/);
    expect(text).not.toContain('GMAIL_APP_PASSWORD');
  });

  test('prints its ports, logins and scripted recipients, and runs until it is aborted', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'outtray-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const [caFile, keyFile] = [join(folder, 'ca.pem'), join(folder, 'key.json')];
    const clientFile = join(folder, 'client.json');
    const stop = new AbortController();
    const output: string[] = [];
    const ready = Promise.withResolvers<void>();
    const ended = runSimulator(
      [
        '--smtp-port',
        '0',
        '--smtps-port',
        '0',
        '--http-port',
        '0',
        '--user',
        'me@acme.test',
        '--password',
        'sesame',
        '--ca-file',
        caFile,
        '--key-file',
        keyFile,
        '--client-file',
        clientFile,
      ],
      {
        out(line) {
          output.push(line);
          if (line.includes('/token-lifetime')) ready.resolve();
        },
        err: expect.unreachable,
      },
      stop.signal,
    );
    await ready.promise;
    const text = output.join('\n');
    expect(text).toMatch(
      /STARTTLS on port \d+, TLS on port \d+, received messages at http:\/\/127\.0\.0\.1:\d+\/messages, IMAP on port \d+$/m,
    );
    expect(text).toContain('GMAIL_USER=me@acme.test');
    expect(text).toContain('GMAIL_APP_PASSWORD=sesame');
    expect(text).toMatch(/SMTP_URL=smtp:\/\/localhost:\d+,smtps:\/\/localhost:\d+/);
    expect(text).toMatch(/IMAP_URL=imaps:\/\/localhost:(?!2993)\d+\n/);
    expect(text).toContain(`NODE_EXTRA_CA_CERTS=${caFile}`);
    expect(text).toMatch(/drop-after-dot@simulator\.test +stores the message/);
    expect(text).toMatch(
      /GMAIL_OAUTH_REFRESH_TOKEN=\S+\n.*GMAIL_OAUTH_TOKEN_URL=http:\/\/127\.0\.0\.1:\d+\/token\n/,
    );
    expect(text).toContain(`GMAIL_SERVICE_ACCOUNT_FILE=${keyFile}`);
    expect(await readFile(caFile, 'utf8')).toMatch(/^-----BEGIN CERTIFICATE-----\n/);
    expect(JSON.parse(await readFile(keyFile, 'utf8'))).toMatchObject({
      type: 'service_account',
      client_email: expect.any(String),
    });
    expect((await stat(keyFile)).mode & 0o077).toBe(0);
    expect(text).toContain(`outtray login --user me@acme.test --client-file ${clientFile}`);
    expect(JSON.parse(await readFile(clientFile, 'utf8'))).toMatchObject({
      installed: { client_id: expect.any(String), auth_uri: expect.stringContaining('/o/oauth2/v2/auth') },
    });
    stop.abort();
    expect(await ended).toBe(0);
  });

  test.each([
    [['--smtp-port', '70000'], '--smtp-port'],
    [['--http-port', 'http'], '--http-port'],
    [['--imap-port', '-1'], '--imap-port'],
    [['--password', ''], '--password'],
    [['--daily-limit', 'many'], '--daily-limit'],
    [['--colour'], '--colour'],
    [['now'], 'now'],
  ])('exits 2 for the invalid arguments %j, and names the mistake', async (args, expected) => {
    const errors: string[] = [];
    const io = { out: expect.unreachable, err: (line: string) => errors.push(line) };
    expect(await runSimulator(args, io, AbortSignal.abort())).toBe(2);
    expect(errors.join('\n')).toContain(expected);
  });

  test('exits 1 if a port is taken, and leaves no port open', async () => {
    await using simulator = await startSimulator();
    const free = await startSimulator();
    await free.close();
    const errors: string[] = [];
    const args = [
      '--smtp-port',
      `${free.starttlsPort}`,
      '--smtps-port',
      `${simulator.tlsPort}`,
      '--http-port',
      '0',
    ];
    const io = { out: expect.unreachable, err: (line: string) => errors.push(line) };
    expect(await runSimulator(args, io, AbortSignal.abort())).toBe(1);
    expect(errors).toEqual([
      expect.stringContaining(`EADDRINUSE: address already in use 127.0.0.1:${simulator.tlsPort}`),
    ]);
    await using again = await startSimulator({ starttlsPort: free.starttlsPort });
    expect(again.starttlsPort).toBe(free.starttlsPort);
  });
});
