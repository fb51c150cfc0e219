import { describe, expect, test } from 'vitest';
import { ADMIN, CRM_SECRET, MAIL, SHOP, startApp } from '../helpers/app.ts';

const FULL = {
  from: 'Sales <sales@acme.com>',
  to: ['ada@example.com', { email: 'Bob@Example.COM', name: 'Bob' }, '"Lovelace, Ada" <ada2@example.com>'],
  cc: 'carol@example.com',
  bcc: [{ email: 'dan@example.com', name: null }],
  reply_to: 'Help <help@acme.com>',
  subject: 'Your invoice',
  html: '<p>Hello</p><img src="cid:logo">',
  text: 'Hello',
  attachments: [
    { filename: 'invoice.pdf', content: 'JVBERi0xLjcK' },
    { filename: 'logo.png', content: 'iVBORw0KGgo=', content_type: 'image/png', content_id: 'logo' },
    { filename: 'empty.csv', content: '', content_type: 'text/csv; charset=utf-8' },
  ],
  calendar: { method: 'REQUEST', content: 'BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR' },
  headers: { 'X-Entity-Ref': '42', 'auto-submitted': 'auto-generated' },
  in_reply_to: '<2@example.com>',
  references: ['<1@example.com>', '<2@example.com>'],
  unsubscribe: { url: 'https://acme.com/u/42', email: 'unsubscribe@acme.com', one_click: true },
  tags: { flow: 'welcome' },
  metadata: { crm_id: '42' },
  priority: 'high',
};

describe('POST /send', () => {
  test('responds 202 with the message resource and its Location', async () => {
    await using app = await startApp();
    const response = await app.send({ ...MAIL, tags: { flow: 'welcome' }, metadata: { crm_id: '42' } });
    const [accepted] = app.accepted;
    expect(response.statusCode).toBe(202);
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(response.headers.location).toBe(`/messages/${accepted?.delivery.id}`);
    expect(response.json()).toEqual({
      id: accepted?.delivery.id,
      status: 'queued',
      message_id: accepted?.delivery.messageId,
      from: { email: 'no-reply@acme.com', name: 'Acme' },
      to: [{ email: 'ada@example.com', name: null }],
      cc: [],
      bcc: [],
      reply_to: [],
      subject: 'Hello',
      template: null,
      attachments: [],
      tags: { flow: 'welcome' },
      metadata: { crm_id: '42' },
      priority: 'normal',
      account: 'bot@acme.com',
      created_at: new Date(accepted?.delivery.createdAt ?? 0).toISOString(),
      scheduled_at: null,
      expires_at: null,
      next_attempt_at: null,
      finished_at: null,
      recipients: [{ email: 'ada@example.com', status: 'pending', smtp: null }],
      attempts: [],
      error: null,
      warnings: [],
      possible_duplicate: false,
      confirmed_by: null,
      bounced: false,
      follow_ups: [],
      test: false,
      durability: 'memory',
    });
  });

  test('passes every field to the intake in canonical form', async () => {
    await using app = await startApp();
    const scheduledAt = Date.now() + 3_600_000;
    const times = {
      scheduled_at: new Date(scheduledAt).toISOString(),
      expires_at: new Date(scheduledAt + 60_000).toISOString(),
    };
    const response = await app.send({ ...FULL, ...times });
    expect(response.statusCode).toBe(202);
    expect(app.accepted[0]?.draft).toEqual({
      template: null,
      envelope: {
        from: { email: 'sales@acme.com', name: 'Sales' },
        to: [
          { email: 'ada@example.com', name: null },
          { email: 'Bob@example.com', name: 'Bob' },
          { email: 'ada2@example.com', name: 'Lovelace, Ada' },
        ],
        cc: [{ email: 'carol@example.com', name: null }],
        bcc: [{ email: 'dan@example.com', name: null }],
        subject: 'Your invoice',
      },
      content: {
        replyTo: [{ email: 'help@acme.com', name: 'Help' }],
        html: FULL.html,
        text: 'Hello',
        calendar: FULL.calendar,
        attachments: [
          { filename: 'invoice.pdf', content: Buffer.from('%PDF-1.7\n'), contentType: null, contentId: null },
          {
            filename: 'logo.png',
            content: Buffer.from('iVBORw0KGgo=', 'base64'),
            contentType: 'image/png',
            contentId: 'logo',
          },
          {
            filename: 'empty.csv',
            content: Buffer.alloc(0),
            contentType: 'text/csv; charset=utf-8',
            contentId: null,
          },
        ],
        headers: { 'X-Entity-Ref': '42', 'auto-submitted': 'auto-generated' },
        inReplyTo: '<2@example.com>',
        references: ['<1@example.com>', '<2@example.com>'],
        unsubscribe: { url: 'https://acme.com/u/42', email: 'unsubscribe@acme.com', oneClick: true },
      },
      tags: { flow: 'welcome' },
      metadata: { crm_id: '42' },
      priority: 'high',
      scheduledAt,
      expiresAt: scheduledAt + 60_000,
    });
  });

  test('passes the API key to the intake', async () => {
    await using app = await startApp();
    await app.send(MAIL, SHOP);
    await app.send(MAIL, ADMIN);
    expect(app.accepted.map(({ caller }) => [caller.name, caller.scopes])).toEqual([
      ['shop', ['send', 'read']],
      ['boss', ['admin']],
    ]);
  });

  test('converts a time with an offset to UTC', async () => {
    await using app = await startApp();
    const nextYear = new Date().getUTCFullYear() + 1;
    const response = await app.send({ ...MAIL, scheduled_at: `${nextYear}-01-01T09:30:00+01:00` });
    expect(response.json()).toMatchObject({
      status: 'scheduled',
      scheduled_at: `${nextYear}-01-01T08:30:00.000Z`,
    });
  });

  test('a dry run returns a preview and queues nothing', async () => {
    await using app = await startApp();
    const response = await app.send({
      ...MAIL,
      cc: ['ada@example.com', 'bob@example.com'],
      bcc: 'carol@example.com',
      dry_run: true,
    });
    expect(response.statusCode).toBe(200);
    expect(response.headers.location).toBeUndefined();
    expect(response.json()).toEqual({
      dry_run: true,
      envelope: {
        from: 'no-reply@acme.com',
        to: ['ada@example.com', 'bob@example.com', 'carol@example.com'],
      },
      headers: [{ name: 'Subject', value: 'Hello' }],
      size: 1234,
      message_id: expect.stringMatching(/^<msg_.+@acme\.com>$/),
      warnings: [],
    });
    expect(app.accepted).toEqual([]);
  });

  test('never includes the secret in a response', async () => {
    await using app = await startApp();
    const responses = [await app.send(MAIL), await app.send({}), await app.send('{')];
    for (const { body, headers } of responses)
      expect(body + JSON.stringify(headers)).not.toContain(CRM_SECRET);
  });
});
