import { describe, expect, test } from 'vitest';
import type { Delivery } from '../../src/core/delivery/delivery.ts';
import { applyInbound } from '../../src/core/inbound/apply.ts';
import type { InboundDecision } from '../../src/core/inbound/decision.ts';
import { ADMIN, CRM, SHOP, startApp } from '../helpers/app.ts';
import { aDelivery, anAttempt } from '../helpers/delivery.ts';
import { aBounce, aReply, aReported } from '../helpers/inbound.ts';

describe('GET /messages/{id}', () => {
  test('returns the message resource with times in ISO 8601', async () => {
    await using app = await startApp();
    const at = Date.UTC(2027, 0, 1, 9);
    const smtp = { code: 421, enhanced: '4.7.0', response: 'Try again later' };
    const error = { code: 'login_throttled', detail: 'd', hint: 'h', scope: 'account', smtp } as const;
    const { id } = app.keep(
      aDelivery({
        status: 'deferred',
        createdAt: at,
        nextAttemptAt: at + 60_000,
        recipients: [{ email: 'ada@example.com', status: 'pending', smtp }],
        attempts: [
          { number: 1, startedAt: at + 1000, endedAt: at + 2000, account: 'bot@acme.com', smtp, error },
          {
            number: 2,
            startedAt: at + 3000,
            endedAt: null,
            account: 'bot@acme.com',
            smtp: null,
            error: null,
          },
        ],
        error,
        possibleDuplicate: true,
      }),
    );
    const response = await app.get(`/messages/${id}`);
    const presentedError = {
      code: 'login_throttled',
      title: 'Too many logins for Gmail',
      detail: 'd',
      hint: 'h',
      retryable: true,
      scope: 'account',
      smtp,
    };
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({
      id,
      status: 'deferred',
      created_at: '2027-01-01T09:00:00.000Z',
      scheduled_at: null,
      next_attempt_at: '2027-01-01T09:01:00.000Z',
      finished_at: null,
      recipients: [{ email: 'ada@example.com', status: 'pending', smtp }],
      attempts: [
        {
          number: 1,
          started_at: '2027-01-01T09:00:01.000Z',
          ended_at: '2027-01-01T09:00:02.000Z',
          account: 'bot@acme.com',
          smtp,
          error: presentedError,
        },
        {
          number: 2,
          started_at: '2027-01-01T09:00:03.000Z',
          ended_at: null,
          account: 'bot@acme.com',
          smtp: null,
          error: null,
        },
      ],
      error: presentedError,
      possible_duplicate: true,
      durability: 'memory',
    });
  });

  test('does not expose the content, the owner or the request', async () => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery({ requestId: 'req_of_sending' }));
    const { body } = await app.get(`/messages/${id}`);
    for (const word of ['Hello.', 'content', 'owner', 'crm', 'req_of_sending'])
      expect(body).not.toContain(word);
  });

  test('responds to the message of another key as to an unknown one', async () => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery({ owner: 'crm' }));
    const foreign = await app.get(`/messages/${id}`, SHOP);
    const none = await app.get('/messages/msg_none', SHOP);
    expect((await app.get(`/messages/${id}`, CRM)).statusCode).toBe(200);
    expect([foreign.statusCode, none.statusCode]).toEqual([404, 404]);
    const blank = (response: typeof foreign) => ({ ...response.json(), instance: '', request_id: '' });
    expect(blank(foreign)).toEqual(blank(none));
    expect(foreign.json().code).toBe('message_not_found');
  });

  test('returns every message to an admin key', async () => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery({ owner: 'crm' }));
    expect((await app.get(`/messages/${id}`, ADMIN)).json().id).toBe(id);
  });

  test.each([`/messages/${'x'.repeat(5000)}`, '/messages/__proto__', '/messages/%2Fetc%2Fpasswd'])(
    'responds message_not_found to %s',
    async (url) => {
      await using app = await startApp();
      expect((await app.get(url)).json().code).toBe('message_not_found');
    },
  );
});

describe('mail that followed a message', () => {
  const at = Date.UTC(2027, 0, 1, 9);
  const follow = (delivery: Delivery, ...mails: InboundDecision[]) =>
    mails.reduce((before, mail) => applyInbound(before, mail)?.delivery ?? before, delivery);

  test('is in the message resource, with class, reply and reporting server of each bounce', async () => {
    await using app = await startApp();
    const smtp = { code: 452, enhanced: '4.2.2', response: 'Mailbox full' };
    const reported = aReported({ class: 'soft', smtp, reportingMta: 'mx.example.com' });
    const bounce = aBounce({ at, mailId: '<1@mx.example.com>', recipients: [reported], unverified: true });
    const reply = aReply({ at: at + 1000, mailId: '<2@example.com>' });
    const { id } = app.keep(follow(aDelivery({ status: 'sent', attempts: [anAttempt()] }), bounce, reply));
    expect((await app.get(`/messages/${id}`)).json()).toMatchObject({
      status: 'sent',
      bounced: true,
      recipients: [
        {
          email: 'ada@example.com',
          status: 'bounced',
          smtp: null,
          bounce: {
            at: '2027-01-01T09:00:00.000Z',
            class: 'soft',
            smtp,
            diagnostic: null,
            reporting_mta: 'mx.example.com',
            unverified: true,
          },
        },
      ],
      follow_ups: [
        {
          kind: 'bounced',
          at: '2027-01-01T09:00:00.000Z',
          from: 'mailer-daemon@googlemail.com',
          message_id: '<1@mx.example.com>',
          recipients: ['ada@example.com'],
        },
        {
          kind: 'replied',
          at: '2027-01-01T09:00:01.000Z',
          from: 'ada@example.com',
          message_id: '<2@example.com>',
          recipients: [],
        },
      ],
    });
    const other = app.keep(aDelivery());
    const resource = (await app.get(`/messages/${other.id}`)).json();
    expect(resource).toMatchObject({ bounced: false, follow_ups: [] });
    expect(resource.recipients[0]).not.toHaveProperty('bounce');
  });

  test('has the reason of a report without a reply, and null in records of earlier versions', async () => {
    await using app = await startApp();
    const diagnostic = 'DNS Error: Domain name not found';
    const mail = aBounce({ recipients: [aReported({ class: 'soft', smtp: null, diagnostic })] });
    const delivery = follow(aDelivery({ status: 'sent' }), mail);
    const bounce = { at, class: 'soft', smtp: null, reportingMta: null, unverified: false } as const;
    const recipients = [{ email: 'ada@example.com', status: 'bounced', smtp: null, bounce }] as const;
    const older = aDelivery({ status: 'sent', recipients });
    for (const [stored, expected] of [
      [delivery, diagnostic],
      [older, null],
    ] as const) {
      const { id } = app.keep(stored);
      const resource = (await app.get(`/messages/${id}`)).json();
      expect(resource.recipients[0].bounce).toMatchObject({ smtp: null, diagnostic: expected });
    }
  });

  test('filters the list: ?bounced=true, page by page, and ?bounced=false', async () => {
    await using app = await startApp();
    const all = Array.from({ length: 6 }, (_, i) =>
      aDelivery({ status: 'sent', createdAt: at + i, attempts: [anAttempt()] }),
    );
    const bounced = all.filter((_, i) => i % 2 === 0);
    for (const delivery of all) app.keep(bounced.includes(delivery) ? follow(delivery, aBounce()) : delivery);
    const idsAt = async (query: string) => {
      const { messages, next_cursor } = (await app.get(`/messages?${query}`)).json();
      return { ids: messages.map(({ id }: { id: string }) => id), next_cursor };
    };
    const [oldest, middle, newest] = bounced.map(({ id }) => id);
    const first = await idsAt('bounced=true&limit=2');
    expect(first.ids).toEqual([newest, middle]);
    expect(await idsAt(`bounced=true&limit=2&cursor=${first.next_cursor}`)).toEqual({
      ids: [oldest],
      next_cursor: null,
    });
    expect((await idsAt('bounced=true&status=failed')).ids).toEqual([]);
    expect((await idsAt('bounced=false')).ids).toHaveLength(3);
    const refused = await app.get('/messages?bounced=yes');
    expect([refused.statusCode, refused.json().errors[0].pointer]).toEqual([422, 'query:bounced']);
  });
});
