import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { type ServiceUnderTest, startService } from '../helpers/service.ts';
import { sendMany } from '../helpers/smtp/gmail.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };

type Env = (gmail: Simulator) => Record<string, string>;

const refreshToken: Env = ({ oauth }) => ({
  GMAIL_OAUTH_CLIENT_ID: oauth.clientId,
  GMAIL_OAUTH_CLIENT_SECRET: oauth.clientSecret,
  GMAIL_OAUTH_REFRESH_TOKEN: oauth.refreshToken,
  GMAIL_OAUTH_TOKEN_URL: oauth.tokenUrl,
});
const serviceAccount: Env = ({ oauth }) => ({ GMAIL_SERVICE_ACCOUNT: oauth.serviceAccount });

/** Starts the service with this login instead of the app password. */
function start(gmail: Simulator, env: Record<string, string>): Promise<ServiceUnderTest> {
  return startService({
    smtp: gmail.url,
    ca: gmail.ca,
    env: { GMAIL_USER: gmail.user, GMAIL_APP_PASSWORD: '', ...env },
  });
}

describe.concurrent('service with OAuth', () => {
  test.each([
    ['a refresh token', refreshToken],
    ['a service account', serviceAccount],
  ])('sends with %s and requests one token', async (_, env) => {
    await using gmail = await startSimulator();
    await using service = await start(gmail, env(gmail));
    for (const id of await sendMany(service, 20, HELLO))
      expect(await service.settled(id)).toMatchObject({ status: 'sent' });
    expect(gmail.counters).toMatchObject({ accepted: 20, failedLogins: 0 });
    expect(gmail.oauth.requests).toBe(1);
  });

  test('defers messages while no token can be obtained, and then sends all of them', async () => {
    await using gmail = await startSimulator();
    gmail.oauth.setFault('invalid_grant');
    await using service = await start(gmail, serviceAccount(gmail));
    const ids = await sendMany(service, 20, HELLO);
    await gmail.waitFor(({ oauth }) => oauth.requests >= 3);
    expect(gmail.counters).toMatchObject({ logins: 0, failedLogins: 0 });
    gmail.oauth.setFault(null);
    for (const id of ids)
      expect(await service.settled(id)).toMatchObject({
        status: 'sent',
        attempts: [{ number: 1, error: null }],
      });
    expect(gmail.counters.accepted).toBe(20);
    const paused = service.logs.filter(({ msg }) => msg === 'account paused').map(({ code }) => code);
    expect(new Set(paused)).toEqual(new Set(['oauth_grant_revoked']));
    const { private_key } = JSON.parse(gmail.oauth.serviceAccount);
    expect(JSON.stringify(service.logs)).not.toMatch(/ya29|eyJ/);
    expect(JSON.stringify(service.logs)).not.toContain(JSON.stringify(private_key).slice(40, 100));
  });
});

test('a password rotated in its file resumes the account without a restart', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'outtray-password-'));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const file = join(folder, 'password');
  await writeFile(file, 'wrongwrongwrongw');
  await using gmail = await startSimulator();
  await using service = await start(gmail, { GMAIL_APP_PASSWORD_FILE: file });
  const ids = await sendMany(service, 10, HELLO);
  await gmail.waitFor(({ counters }) => counters.failedLogins >= 2);
  await writeFile(file, gmail.password);
  for (const id of ids)
    expect(await service.settled(id)).toMatchObject({
      status: 'sent',
      attempts: [{ number: 1, error: null }],
    });
  expect(gmail.counters.accepted).toBe(10);
});
