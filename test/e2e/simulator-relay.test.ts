import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import {
  connectTo,
  deliver,
  GO_AHEAD,
  lines,
  logInTo,
  normalize,
  normalizeReply,
  OK,
  type RawClient,
  RECIPIENT_OK,
  SENDER_OK,
  startSimulator,
} from '../helpers/smtp/simulator-session.ts';

const NOT_ALLOWED = lines(
  "550-5.7.1 Invalid credentials for relay [127.0.0.1]. The IP address you've",
  "550-5.7.1 registered in your Workspace SMTP Relay service doesn't match domain of",
  '550-5.7.1 the account this email is being sent from. If you are trying to relay',
  "550-5.7.1 mail from a domain that isn't registered under your Workspace account",
  '550-5.7.1 or has empty envelope-from, you must configure your mail server either',
  '550-5.7.1 to use SMTP AUTH to identify the sending domain or to present one of',
  '550-5.7.1 your domain names in the HELO or EHLO command. For more information,',
  '550-5.7.1 please visit',
  '550 5.7.1  https://support.google.com/a/answer/6140680#invalidcred <id> - gsmtp',
);

async function setRelay(simulator: Simulator, body: object): Promise<void> {
  const response = await fetch(`${simulator.httpUrl}/relay`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect([response.status, await response.json()]).toEqual([200, { allowed: true, ...body }]);
}

/** Opens a session on the TLS port, without a login. */
async function open(simulator: Simulator): Promise<RawClient & { readonly greeting: string }> {
  const session = await connectTo(simulator, 'implicit');
  await session.command('EHLO crm.acme.test');
  return session;
}

describe('the simulator as the Workspace relay', () => {
  test('greets as the relay, and accepts mail of its domains without a login', async () => {
    await using simulator = await startSimulator();
    await setRelay(simulator, { domains: ['ACME.test'] });
    using session = await open(simulator);
    expect(normalize(session.greeting)).toBe('220 smtp-relay.gmail.com ESMTP <id> - gsmtp\r\n');
    expect(await session.command('EHLO crm.acme.test')).toMatch(
      /^250-smtp-relay\.gmail\.com at your service/,
    );
    expect((await deliver(session, ['ada@example.com'])).slice(0, 3)).toEqual([
      SENDER_OK,
      RECIPIENT_OK,
      GO_AHEAD,
    ]);
    expect(simulator.messages).toMatchObject([{ user: '', authMethod: '', rewrittenFrom: null }]);
  });

  test('refuses senders of other domains, and names the domain', async () => {
    await using simulator = await startSimulator();
    await setRelay(simulator, { domains: ['other.test'] });
    using session = await open(simulator);
    const reply = await normalizeReply(session.command('MAIL FROM:<bot@acme.test>'));
    expect(reply).toMatch(
      /^550-5\.7\.0 Mail relay denied \[127\.0\.0\.1\]\. .*\r\n550-5\.7\.0 the domains in: acme\.test /,
    );
    expect(await normalizeReply(session.command('RSET'))).toBe(OK.replace('2.0.0 OK', '2.1.5 Flushed'));
    expect(simulator.counters).toMatchObject({ throttled: 1, transactions: 0 });
  });

  test('refuses an address that is not allowed, unless it logs in', async () => {
    await using simulator = await startSimulator();
    await setRelay(simulator, { domains: ['acme.test'], allowed: false });
    using session = await open(simulator);
    expect(await normalizeReply(session.command('MAIL FROM:<bot@acme.test>'))).toBe(NOT_ALLOWED);
    using loggedIn = await logInTo(simulator);
    expect(await normalizeReply(loggedIn.command('MAIL FROM:<bot@acme.test>'))).toBe(SENDER_OK);
  });

  test.each(['[127.0.0.1]', 'localhost', '[IPv6:::1]', '.acme.test'])(
    'refuses EHLO %s and closes the connection',
    async (name) => {
      await using simulator = await startSimulator();
      simulator.setRelay({ domains: ['acme.test'], allowed: true });
      using session = await connectTo(simulator, 'implicit');
      expect(await session.command(`EHLO ${name}`)).toMatch(
        /^421-4\.7\.0 Try again later, closing connection\. \(EHLO\) /,
      );
      await session.closed;
    },
  );

  test('requires STARTTLS', async () => {
    await using simulator = await startSimulator();
    simulator.setRelay({ domains: ['acme.test'], allowed: true });
    using session = await connectTo(simulator, 'starttls');
    await session.command('EHLO crm.acme.test');
    expect(await session.command('MAIL FROM:<bot@acme.test>')).toMatch(/^530-5\.7\.0 Must issue a STARTTLS/);
    await session.startTls();
    await session.command('EHLO crm.acme.test');
    expect(await normalizeReply(session.command('MAIL FROM:<bot@acme.test>'))).toBe(SENDER_OK);
  });

  test('limits each sender separately', async () => {
    await using simulator = await startSimulator();
    simulator.setRelay({ domains: ['acme.test'], allowed: true });
    simulator.setDailyLimit({ messages: 1 });
    using session = await open(simulator);
    const last = async () => (await deliver(session, ['ada@example.com'])).at(-1);
    expect(await last()).toMatch(/^250/);
    expect(await last()).toMatch(/^550-5\.4\.5/);
    expect(await session.command('MAIL FROM:<other@acme.test>')).toMatch(/^250/);
    await session.command('RCPT TO:<ada@example.com>');
    expect(await session.command('DATA')).toMatch(/^354/);
  });

  test('is smtp.gmail.com again after null', async () => {
    await using simulator = await startSimulator();
    await setRelay(simulator, { domains: ['acme.test'] });
    await setRelay(simulator, { domains: null });
    using session = await open(simulator);
    expect(session.greeting).toContain('220 smtp.gmail.com');
    expect(await session.command('MAIL FROM:<bot@acme.test>')).toMatch(
      /^530-5\.7\.0 Authentication Required/,
    );
  });
});
