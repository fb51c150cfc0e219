import { describe, expect, test, vi } from 'vitest';
import { startEndpoint } from '../helpers/endpoint.ts';
import { followed, reportAbout, startInbound, WAIT, watched } from '../helpers/imap/inbound-service.ts';
import { writesOf } from '../helpers/imap/mailbox.ts';
import { aReply, OUR_ID } from '../helpers/inbound-mail.ts';
import { samplesOf } from '../helpers/metrics.ts';
import { ADMIN_KEY } from '../helpers/service.ts';
import { accountsOf, startWithGmail, type WithGmail } from '../helpers/smtp/gmail.ts';

const USER = 'bot@simulator.test';
const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };
const BOUNCES = 'bounces-later+10ms@simulator.test';
const FORGED = 'Authentication-Results: mx.google.com; dmarc=fail header.from=googlemail.com\n';

function deliver({ gmail }: WithGmail, raw: string): void {
  gmail.imap.deliver(raw, { user: USER });
}

async function sendHello({ service }: WithGmail) {
  const { body } = await service.send(HELLO, { wait: 20 });
  expect(body.status).toBe('sent');
  return body;
}

/** Resolves when every mail in the inbox so far has been handled. */
async function handledAll(app: WithGmail): Promise<void> {
  const { id, message_id } = await sendHello(app);
  deliver(app, reportAbout(message_id));
  await followed(app.service, id);
}

describe.concurrent('with INBOUND=replies', { timeout: 60_000 }, () => {
  test('a bounce is shown, reported, counted and suppresses its recipient', async () => {
    await using endpoint = await startEndpoint();
    const url = `http://127.0.0.1:${endpoint.port}/`;
    const secret = `whsec_${Buffer.alloc(32, 'key').toString('base64')}`;
    const webhooks = { WEBHOOK_URL: url, WEBHOOK_SECRET: secret, WEBHOOK_ALLOWED_HOSTS: '127.0.0.1' };
    await using app = await startInbound({ env: { LOG_LEVEL: 'debug', ...webhooks } });
    const { service, gmail } = app;
    const { body: sent } = await service.send({ ...HELLO, to: [BOUNCES, HELLO.to] }, { wait: 20 });
    const message = await followed(service, sent.id);
    const bounce = {
      class: 'hard',
      smtp: { code: 550, enhanced: '5.1.1' },
      reporting_mta: 'googlemail.com',
      unverified: false,
    };
    expect(message).toMatchObject({
      status: 'sent',
      bounced: true,
      recipients: [{ email: BOUNCES, status: 'bounced', bounce }, { status: 'accepted' }],
      follow_ups: [{ kind: 'bounced', from: 'mailer-daemon@googlemail.com', recipients: [BOUNCES] }],
    });
    const list = await service.request('/messages?bounced=true');
    expect(list.body).toMatchObject({ messages: [{ id: sent.id }] });
    await vi.waitFor(() => {
      const types = endpoint.heard.map(({ body }) => JSON.parse(body).type);
      expect(types).toEqual(['message.sent', 'message.bounced']);
    }, WAIT);
    const suppressed = await service.send({ ...HELLO, to: BOUNCES });
    expect([suppressed.status, suppressed.body.code]).toEqual([422, 'recipient_suppressed']);
    const metrics = await fetch(`${service.url}/metrics`, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    });
    expect(samplesOf(await metrics.text(), 'outtray_recipients_bounced_total')).toContain(
      '{account="bot@simulator.test",class="hard"} 1',
    );
    expect((await service.request(`/emails/${sent.id}`)).body).toMatchObject({
      last_event: 'bounced',
    });
    expect((await accountsOf(service))[0]?.mailbox).toEqual({ status: 'ready', code: null });
    expect(writesOf(gmail)).toEqual([]);
    expect(gmail.imap.counters.connections).toBe(1);
    expect(service.logs.filter(({ msg }) => msg === 'inbox watched')).toHaveLength(1);
    expect(JSON.stringify(service.logs)).not.toMatch(/bounces-later|ada@example|mailer-daemon/);
  });

  test.each([
    ['delayed', ['delayed']],
    ['bounces-soft', ['delayed', 'bounced']],
    ['replies', ['replied']],
    ['auto-replies', ['auto_replied']],
  ])('what comes from %s is recorded', async (name, kinds) => {
    await using app = await startInbound();
    const to = `${name}+10ms@simulator.test`;
    const { body } = await app.service.send({ ...HELLO, to }, { wait: 20 });
    const message = await followed(app.service, body.id, kinds.length);
    expect(message.follow_ups.map(({ kind }) => kind)).toEqual(kinds);
    expect(message.recipients[0]?.status).toBe(kinds.includes('bounced') ? 'bounced' : 'accepted');
  });

  test('forged and unrelated mail changes nothing, and is logged without an address', async () => {
    await using app = await startInbound({ env: { LOG_LEVEL: 'debug' } });
    const { id, message_id } = await sendHello(app);
    deliver(app, reportAbout(message_id, { authentication: FORGED }));
    deliver(app, reportAbout('<msg_00000000000000000000000000000000@acme.com>'));
    deliver(app, reportAbout(message_id).replaceAll('ada@example.com', 'bob@example.com'));
    deliver(app, aReply());
    await handledAll(app);
    expect((await app.service.get(id)).follow_ups).toEqual([]);
    const ignored = app.service.logs.filter(({ msg }) => msg === 'mail in the inbox ignored');
    expect(ignored.map(({ reason }) => reason)).toEqual([
      'untrusted',
      'unknown_message',
      'unknown_recipient',
      'unknown_message',
    ]);
    expect(JSON.stringify(ignored)).not.toContain('example.com');
  });

  test('reports with the same Message-ID count, each for its message', async () => {
    await using app = await startInbound();
    const messages = [await sendHello(app), await sendHello(app)];
    for (const { message_id } of messages)
      deliver(app, reportAbout(message_id).replace(/^Message-ID: .*$/m, 'Message-ID: <same@mx.example.com>'));
    for (const { id } of messages)
      expect((await followed(app.service, id)).follow_ups).toMatchObject([
        { kind: 'bounced', message_id: '<same@mx.example.com>' },
      ]);
  });

  test('a report of a failed and a waiting recipient bounces one and delays the other', async () => {
    await using app = await startInbound();
    const to = [HELLO.to, 'bob@example.net'];
    const { body } = await app.service.send({ ...HELLO, to }, { wait: 20 });
    const waits = 'Final-Recipient: rfc822; bob@example.net\nAction: delayed\nStatus: 4.4.1\n\n';
    deliver(app, reportAbout(body.message_id).replace('Final-Recipient', `${waits}$&`));
    expect((await followed(app.service, body.id, 2)).follow_ups).toMatchObject([
      { kind: 'bounced', recipients: ['ada@example.com'] },
      { kind: 'delayed', recipients: ['bob@example.net'] },
    ]);
  });

  test('a reply that the account writes from one of its aliases is no reply of a recipient', async () => {
    await using app = await startInbound({ env: { GMAIL_ALIASES: 'sales@acme.com', LOG_LEVEL: 'debug' } });
    const { id, message_id } = await sendHello(app);
    const reply = aReply().replaceAll(OUR_ID, message_id);
    deliver(app, reply.replaceAll('ada@example.com', 'Sales@acme.com'));
    deliver(app, reply);
    expect((await followed(app.service, id)).follow_ups).toMatchObject([
      { kind: 'replied', from: 'ada@example.com' },
    ]);
    expect(app.service.logs).toContainEqual(expect.objectContaining({ reason: 'own_mail' }));
  });

  test('a bounce that comes before the message is sent is recorded then', async () => {
    await using app = await startInbound();
    const to = [HELLO.to, 'slow+3000ms@simulator.test'];
    const { body } = await app.service.send({ ...HELLO, to });
    deliver(app, reportAbout(body.message_id));
    // The inbox is read on meanwhile.
    await handledAll(app);
    expect(await app.service.get(body.id)).toMatchObject({ status: 'sending', follow_ups: [] });
    expect(await followed(app.service, body.id)).toMatchObject({ status: 'sent', bounced: true });
  });

  test('goes on after another UIDVALIDITY, a cut connection and a fault, and records each mail once', async () => {
    await using app = await startInbound();
    const { imap } = app.gmail;
    const messages = await Promise.all([sendHello(app), sendHello(app), sendHello(app)]);
    const disturb = [
      () => imap.changeUidValidity(USER),
      () => imap.closeConnections(),
      () => imap.setFault({ kind: 'cut', command: 'FETCH', afterBytes: 100 }),
    ];
    for (const [index, { id, message_id }] of messages.entries()) {
      disturb[index]?.();
      deliver(app, reportAbout(message_id));
      if (index === 2) {
        await vi.waitFor(() => expect(imap.counters.connections).toBeGreaterThan(3), WAIT);
        imap.setFault(null);
      }
      await followed(app.service, id);
      await watched(app);
    }
    for (const { id } of messages) expect((await app.service.get(id)).follow_ups).toHaveLength(1);
  });

  test.each([
    ['imap-off-by-admin', { status: 'refused', code: 'imap_disabled' }],
    ['bad-credentials', { status: 'refused', code: 'imap_login_refused' }],
    ['too-many-connections', { status: 'ready', code: 'imap_unavailable' }],
  ] as const)('%s is shown and logged once, and sending goes on', async (fault, mailbox) => {
    await using app = await startInbound({ backoffScale: 0.0005 });
    const { gmail, service } = app;
    gmail.imap.setLoginFault(fault);
    gmail.imap.closeConnections();
    await vi.waitFor(async () => expect((await accountsOf(service))[0]?.mailbox).toEqual(mailbox), WAIT);
    await gmail.waitFor(({ imap }) => imap.counters.failedLogins > 1);
    const { id } = await service.send({ ...HELLO, to: BOUNCES }, { wait: 20 }).then(({ body }) => body);
    expect(await service.get(id)).toMatchObject({ status: 'sent', follow_ups: [] });
    expect((await accountsOf(service))[0]?.status).toBe('ready');
    gmail.imap.setLoginFault(null);
    await followed(service, id);
    await watched(app);
    expect((await accountsOf(service))[0]?.mailbox).toEqual({ status: 'ready', code: null });
    const logged = service.logs
      .filter(({ msg }) => `${msg}`.startsWith('inbox '))
      .map(({ msg, code }) => [msg, code]);
    expect(logged).toEqual([
      ['inbox watched', undefined],
      ['inbox could not be read', mailbox.code],
      ['inbox watched', undefined],
    ]);
  });

  test('the end of the service does not wait for a slow server', async () => {
    await using app = await startInbound();
    app.gmail.imap.setFault({ kind: 'slow', command: 'EXAMINE', ms: 600_000 });
    deliver(app, reportAbout(OUR_ID));
    await app.gmail.waitFor(({ imap }) => imap.commands.at(-1)?.text.startsWith('IDLE') === false);
    const startedAt = performance.now();
    await app.service.close();
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });

  test('mail of test keys is not followed', async () => {
    const key = 'test-secret-0123456789-abcdefghij';
    const keys = [{ name: 'ci', secret: key, test: true }];
    await using app = await startInbound({
      env: { API_KEYS: JSON.stringify(keys), LOG_LEVEL: 'debug' },
    });
    const headers = { authorization: `Bearer ${key}` };
    const { body } = await app.service.send(HELLO, { wait: 20, headers });
    expect(body).toMatchObject({ status: 'sent', test: true });
    deliver(app, reportAbout(body.message_id));
    await vi.waitFor(
      () => expect(app.service.logs).toContainEqual(expect.objectContaining({ reason: 'unknown_message' })),
      WAIT,
    );
    const { body: after } = await app.service.request(`/messages/${body.id}`, { headers });
    expect(after.follow_ups).toEqual([]);
  });
});

test('INBOUND=bounces leaves replies alone', { timeout: 30_000 }, async () => {
  await using app = await startInbound({ env: { INBOUND: 'bounces' } });
  const { body } = await app.service.send(
    { ...HELLO, to: ['replies+0ms@simulator.test', 'bounces-later+50ms@simulator.test'] },
    { wait: 20 },
  );
  expect((await followed(app.service, body.id)).follow_ups).toMatchObject([{ kind: 'bounced' }]);
});

test('INBOUND=off opens no connection', async () => {
  const env = { INBOUND: 'off' };

  await using app = await startWithGmail({ imap: true, env });
  await sendHello(app);
  expect(app.gmail.imap.counters.connections).toBe(0);
});
