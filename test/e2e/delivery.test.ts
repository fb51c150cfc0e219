import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import PostalMime from 'postal-mime';
import { describe, expect, test } from 'vitest';
import { ADMIN_KEY, APP_PASSWORD } from '../helpers/service.ts';
import { startWithGmail } from '../helpers/smtp/gmail.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };

describe('message', () => {
  test('is accepted at once with its Message-ID, then sent with Gmail’s reply', async () => {
    await using app = await startWithGmail();
    const accepted = await app.service.send(HELLO);
    expect(accepted.status).toBe(202);
    expect(accepted.headers.get('location')).toBe(`/messages/${accepted.body.id}`);
    expect(accepted.body).toMatchObject({
      status: 'queued',
      message_id: `<${accepted.body.id}@simulator.test>`,
      durability: 'memory',
    });

    const sent = await app.service.settled(accepted.body.id);
    expect(sent).toMatchObject({
      status: 'sent',
      error: null,
      possible_duplicate: false,
      recipients: [{ email: 'ada@example.com', status: 'accepted', smtp: { code: 250 } }],
      attempts: [
        { number: 1, account: 'bot@simulator.test', smtp: { code: 250, enhanced: '2.0.0' }, error: null },
      ],
    });
    expect(sent.attempts[0]?.smtp?.response).toMatch(/^OK .* - gsmtp$/);
    expect(app.gmail.messages).toHaveLength(1);
    expect(app.gmail.messages[0]).toMatchObject({
      from: 'bot@simulator.test',
      recipients: ['ada@example.com'],
      secure: true,
    });
  });

  test('arrives with every requested field', async () => {
    await using app = await startWithGmail({ env: { GMAIL_ALIASES: 'no-reply@acme.com' } });
    const { status } = await app.service.send(
      {
        from: 'Acmé <no-reply@acme.com>',
        to: ['ada@example.com', { email: 'bob@example.com', name: 'Bob, the builder' }],
        cc: 'carol@example.com',
        bcc: ['dave@example.com'],
        reply_to: 'help@acme.com',
        subject: 'Ihre Rechnung über 5 €',
        html: '<p>See <img src="cid:logo"></p>',
        text: 'See.\n.dots\n..too',
        attachments: [
          {
            filename: 'a.pdf',
            content: Buffer.from('%PDF-1.4').toString('base64'),
            content_type: 'application/pdf',
          },
          { filename: 'logo.png', content: Buffer.from('PNG').toString('base64'), content_id: 'logo' },
        ],
        headers: { 'X-Entity-Ref': '42' },
        in_reply_to: '<first@acme.com>',
        references: ['<first@acme.com>'],
        unsubscribe: { url: 'https://acme.com/u/1', email: 'unsubscribe@acme.com', one_click: true },
        tags: { flow: 'secret-flow' },
        metadata: { crm_id: 'secret-42' },
      },
      { wait: 20 },
    );
    expect(status).toBe(200);
    const [received] = app.gmail.messages;
    expect(received?.recipients).toEqual([
      'ada@example.com',
      'bob@example.com',
      'carol@example.com',
      'dave@example.com',
    ]);
    const raw = received?.raw ?? '';
    expect(raw).not.toMatch(/dave@|secret-flow|secret-42/);
    const mail = await PostalMime.parse(raw);
    expect(mail).toMatchObject({
      from: { name: 'Acmé', address: 'no-reply@acme.com' },
      to: [{ address: 'ada@example.com' }, { name: 'Bob, the builder', address: 'bob@example.com' }],
      cc: [{ address: 'carol@example.com' }],
      replyTo: [{ address: 'help@acme.com' }],
      subject: 'Ihre Rechnung über 5 €',
      inReplyTo: '<first@acme.com>',
      references: '<first@acme.com>',
      attachments: [
        { filename: 'logo.png', contentId: '<logo>' },
        { filename: 'a.pdf', mimeType: 'application/pdf' },
      ],
    });
    expect(mail.text?.replaceAll('\r\n', '\n').trim()).toBe('See.\n.dots\n..too');
    const header = (name: string) => mail.headers.find(({ key }) => key === name)?.value;
    expect(header('x-entity-ref')).toBe('42');
    expect(header('list-unsubscribe')).toBe('<https://acme.com/u/1>, <mailto:unsubscribe@acme.com>');
    expect(header('list-unsubscribe-post')).toBe('List-Unsubscribe=One-Click');
  });

  test('is composed and measured by a dry run without being sent', async () => {
    await using app = await startWithGmail();
    const { status, body } = await app.service.send({ ...HELLO, bcc: 'bob@example.com', dry_run: true });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      dry_run: true,
      envelope: { from: 'bot@simulator.test', to: ['ada@example.com', 'bob@example.com'] },
    });
    expect(body.headers?.map(({ name }) => name)).toContain('Message-ID');
    const { body: real } = await app.service.send({ ...HELLO, bcc: 'bob@example.com' }, { wait: 20 });
    expect(app.gmail.messages.map(({ bytes }) => bytes)).toEqual([body.size]);
    expect(real.status).toBe('sent');
  });

  test('waits until scheduled_at, and is sent first with high priority', async () => {
    await using app = await startWithGmail({ env: { SMTP_CONNECTIONS: '1' } });
    const scheduled = await app.service.send({
      ...HELLO,
      subject: 'later',
      scheduled_at: new Date(Date.now() + 1500).toISOString(),
    });
    expect(scheduled.body.status).toBe('scheduled');
    const slow = await app.service.send({ ...HELLO, to: 'slow+400ms@simulator.test', subject: 'slow' });
    const normal = await app.service.send({ ...HELLO, subject: 'normal' });
    const urgent = await app.service.send({ ...HELLO, subject: 'urgent', priority: 'high' });
    for (const { body } of [slow, normal, urgent, scheduled]) await app.service.settled(body.id);
    const subjects = app.gmail.messages.map(({ raw }) => /^Subject: (.*)$/m.exec(raw)?.[1]?.trim());
    expect(subjects).toEqual(['slow', 'urgent', 'normal', 'later']);
  });

  test('is refused with both sizes if its encoded form exceeds the limit', async () => {
    await using app = await startWithGmail({ env: { MAX_MESSAGE_BYTES: '300kb' } });
    const content = Buffer.alloc(260 * 1024).toString('base64');
    const { status, body } = await app.service.send({
      ...HELLO,
      attachments: [{ filename: 'big.bin', content }],
    });
    expect(status).toBe(413);
    expect(body).toMatchObject({
      code: 'message_too_large',
      detail: expect.stringMatching(/\d+ bytes; the maximum is 307200/),
    });
  });
});

describe('Prefer: wait', () => {
  test.each([
    ['no-such-user', 422, 'recipients_rejected', 550, '5.1.1'],
    ['mailbox-full', 422, 'mailbox_full', 552, '5.2.2'],
    ['blocked-content', 422, 'attachment_blocked', 552, '5.7.0'],
    ['too-large', 413, 'message_too_large', 552, '5.3.4'],
  ])(
    'returns for %s@ a %i problem with code %s, Gmail’s reply and the message, after one attempt',
    async (local, status, code, smtp, enhanced) => {
      await using app = await startWithGmail();
      const answer = await app.service.send({ ...HELLO, to: `${local}@simulator.test` }, { wait: 20 });
      expect(answer.status).toBe(status);
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(answer.body).toMatchObject({
        type: `/problems/${code}`,
        status,
        code,
        retryable: false,
        smtp: { code: smtp, enhanced },
        hint: expect.any(String),
        message: { status: 'failed', attempts: [{ number: 1, error: { code } }] },
      });
      expect(app.gmail.transactions).toHaveLength(1);
    },
  );

  test('returns a partially refused message with the reply for each recipient', async () => {
    await using app = await startWithGmail();
    const to = ['ada@example.com', 'no-such-user@simulator.test'];
    const { status, body } = await app.service.send({ ...HELLO, to }, { wait: 20 });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: 'partially_sent',
      error: { code: 'recipients_rejected' },
      recipients: [
        { email: 'ada@example.com', status: 'accepted', smtp: { code: 250 } },
        { email: 'no-such-user@simulator.test', status: 'rejected', smtp: { code: 550, enhanced: '5.1.1' } },
      ],
    });
  });

  test('returns 202 when the time is up, and at once if the account is paused', async () => {
    await using app = await startWithGmail({ backoffScale: 1 });
    const late = await app.service.send({ ...HELLO, to: 'slow+3s@simulator.test' }, { wait: 1 });
    expect(late.status).toBe(202);
    expect(late.headers.get('preference-applied')).toBe('wait=1');
    expect(late.body.status).toBe('sending');

    await using broken = await startWithGmail({
      env: { GMAIL_APP_PASSWORD: 'wrongwrongwrongw' },
      backoffScale: 1,
    });
    const askedAt = performance.now();
    const paused = await broken.service.send(HELLO, { wait: 30 });
    expect(performance.now() - askedAt).toBeLessThan(10_000);
    expect(paused.status).toBe(202);
    expect(paused.body).toMatchObject({
      status: 'deferred',
      error: { code: 'bad_credentials', scope: 'account' },
      attempts: [],
    });
    expect(paused.body.next_attempt_at).toEqual(expect.any(String));
  });
});

describe('temporary refusal', () => {
  test('is retried only for the refused recipients', async () => {
    await using app = await startWithGmail({ backoffScale: 0.00005 });
    const { body } = await app.service.send(
      { ...HELLO, to: ['ada@example.com', 'greylisted@simulator.test'] },
      { wait: 20 },
    );
    expect(body).toMatchObject({ status: 'sent', attempts: [{ number: 1 }, { number: 2 }] });
    expect(app.gmail.messages.map(({ recipients }) => recipients)).toEqual([
      ['ada@example.com'],
      ['greylisted@simulator.test'],
    ]);
    expect(new Set(app.gmail.messages.map(({ raw }) => raw)).size).toBe(1);
  });

  test('reports the reason and the time of the next attempt', async () => {
    await using app = await startWithGmail({ backoffScale: 1 });
    const { body } = await app.service.send({ ...HELLO, to: 'greylisted@simulator.test' });
    await expect.poll(async () => (await app.service.get(body.id)).status).toBe('deferred');
    const deferred = await app.service.get(body.id);
    expect(deferred).toMatchObject({
      error: { code: 'smtp_temporary_failure', retryable: true },
      attempts: [{ error: { smtp: { code: 450 } } }],
    });
    expect(Date.parse(deferred.next_attempt_at ?? '')).toBeGreaterThan(Date.now());
  });

  test('ends with retries_exhausted after RETRY_FOR, with the last failure', async () => {
    await using app = await startWithGmail({ env: { RETRY_FOR: '20ms' }, backoffScale: 0.00001 });
    await app.gmail.close();
    const { status, body } = await app.service.send(HELLO, { wait: 20 });
    expect(status).toBe(502);
    expect(body).toMatchObject({ code: 'retries_exhausted', message: { status: 'failed' } });
    expect(body.detail).toContain('connect_failed');
  });

  test('ends with expired if expires_at comes first', async () => {
    await using app = await startWithGmail({ backoffScale: 1 });
    const soon = new Date(Date.now() + 700).toISOString();
    const { status, body } = await app.service.send(
      { ...HELLO, to: 'greylisted@simulator.test', expires_at: soon },
      { wait: 20 },
    );
    expect(status).toBe(504);
    expect(body).toMatchObject({
      code: 'expired',
      message: { status: 'expired', attempts: [{ number: 1 }] },
    });
  });
});

describe('repeated request with an Idempotency-Key', () => {
  const KEY = { 'idempotency-key': 'order-42' };

  test('gets the same response, and sends nothing twice', async () => {
    await using app = await startWithGmail();
    const first = await app.service.send(HELLO, { headers: KEY });
    await app.service.settled(first.body.id);
    const again = await app.service.send(
      { text: HELLO.text, subject: HELLO.subject, to: HELLO.to },
      { headers: KEY },
    );
    expect(again.status).toBe(202);
    expect(again.body).toEqual(first.body);
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(app.gmail.messages).toHaveLength(1);
  });

  test('sends once for a hundred concurrent requests', async () => {
    await using app = await startWithGmail();
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => app.service.send(HELLO, { headers: KEY })),
    );
    expect(new Set(answers.map(({ status }) => status)).difference(new Set([202, 409]))).toEqual(new Set());
    const ids = new Set(answers.filter(({ status }) => status === 202).map(({ body }) => body.id));
    expect(ids.size).toBe(1);
    await app.service.settled([...ids][0] ?? '');
    expect(app.gmail.messages).toHaveLength(1);
  });

  test('is refused with a different body', async () => {
    await using app = await startWithGmail();
    await app.service.send(HELLO, { headers: KEY });
    const other = await app.service.send({ ...HELLO, subject: 'Another' }, { headers: KEY });
    expect(other).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } });
  });

  test('waits together with the first one, and gets the same response', async () => {
    await using app = await startWithGmail();
    const first = app.service.send({ ...HELLO, to: 'slow+1s@simulator.test' }, { wait: 20, headers: KEY });
    await app.gmail.waitFor(({ transactions }) => transactions.length > 0);
    const second = await app.service.send(
      { ...HELLO, to: 'slow+1s@simulator.test' },
      { wait: 20, headers: KEY },
    );
    expect([second.status, second.body.status, second.headers.get('idempotency-replayed')]).toEqual([
      200,
      'sent',
      'true',
    ]);
    expect(second.body).toEqual((await first).body);
    expect(app.gmail.messages).toHaveLength(1);
  });

  test.each(['memory', 'sqlite'])(
    'waits again and returns the outcome if the first client disconnected early (%s)',
    async (queue) => {
      await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
      const env = queue === 'memory' ? {} : { QUEUE_URL: `sqlite:${join(folder.path, 'queue.db')}` };
      await using app = await startWithGmail({ env });
      const slow = { ...HELLO, to: 'slow+1s@simulator.test' };
      const impatient = new AbortController();
      const first = app.service.send(slow, { wait: 30, headers: KEY, signal: impatient.signal });
      await app.gmail.waitFor(({ transactions }) => transactions.length > 0);
      impatient.abort();
      await expect(first).rejects.toThrow();
      expect(await app.service.send(slow, { headers: KEY })).toMatchObject({
        status: 202,
        body: { status: 'sending' },
      });
      const again = await app.service.send(slow, { wait: 20, headers: KEY });
      expect([again.status, again.body.status, again.headers.get('preference-applied')]).toEqual([
        200,
        'sent',
        'wait=20',
      ]);
      expect((await app.service.send(slow, { headers: KEY })).body).toEqual(again.body);
      expect(app.gmail.messages).toHaveLength(1);
    },
  );

  test('is executed again if the first one was refused', async () => {
    await using app = await startWithGmail();
    expect((await app.service.send({ ...HELLO, to: 'nobody' }, { headers: KEY })).status).toBe(422);
    expect((await app.service.send(HELLO, { headers: KEY })).status).toBe(202);
  });

  test('gets the same response if the message was accepted and then failed', async () => {
    await using app = await startWithGmail();
    const lost = { ...HELLO, to: 'no-such-user@simulator.test' };
    const first = await app.service.send(lost, { wait: 20, headers: KEY });
    const again = await app.service.send(lost, { wait: 20, headers: KEY });
    expect(again).toMatchObject({ status: 422, body: first.body });
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(app.gmail.transactions).toHaveLength(1);
  });
});

describe('full queue', () => {
  test('refuses with Retry-After, loses no accepted message, and accepts again once there is room', async () => {
    await using app = await startWithGmail({ env: { QUEUE_MAX_MESSAGES: '2', SMTP_CONNECTIONS: '1' } });
    const slow = { ...HELLO, to: 'slow+500ms@simulator.test' };
    const accepted = [await app.service.send(slow), await app.service.send(slow)];
    const refused = await app.service.send(slow);
    expect(refused).toMatchObject({ status: 503, body: { code: 'queue_full', retryable: true } });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await app.service.request('/readyz')).status).toBe(503);
    for (const { body } of accepted) expect((await app.service.settled(body.id)).status).toBe('sent');
    expect((await app.service.send(HELLO, { wait: 20 })).body.status).toBe('sent');
    expect((await app.service.request('/readyz')).status).toBe(200);
  });
});

describe('API keys', () => {
  test('show a key only its own messages, and an admin key all of them', async () => {
    await using app = await startWithGmail();
    const { body } = await app.service.send(HELLO);
    const asAdmin = { headers: { authorization: `Bearer ${ADMIN_KEY}` } };
    expect((await app.service.request(`/messages/${body.id}`, asAdmin)).status).toBe(200);
    const byAdmin = await app.service.send(HELLO, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
    expect(await app.service.request(`/messages/${byAdmin.body.id}`)).toMatchObject({
      status: 404,
      body: { code: 'message_not_found' },
    });
  });
});

describe('log', () => {
  test('has one line per request and per attempt, linked by ids, without bodies and secrets', async () => {
    await using app = await startWithGmail({ env: { LOG_LEVEL: 'trace' } });
    const secrets = ['the-subject-is-secret', 'the-body-is-secret', 'the-attachment-is-secret'];
    const [subject = '', text = '', attached = ''] = secrets;
    const content = Buffer.from(attached).toString('base64');
    const { body } = await app.service.send(
      { ...HELLO, subject, text, attachments: [{ filename: 'a.txt', content }] },
      { wait: 20 },
    );
    const mine = app.service.logs.filter((line) => line.msg_id === body.id);
    expect(mine).toHaveLength(2);
    expect(new Set(mine.map((line) => line.request_id)).size).toBe(1);
    const output = JSON.stringify(app.service.logs);
    for (const secret of [...secrets, content, APP_PASSWORD, ADMIN_KEY, 'crm-secret', 'BEGIN CERTIFICATE'])
      expect(output).not.toContain(secret);
  });
});
