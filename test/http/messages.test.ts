import { describe, expect, test } from 'vitest';
import { ADMIN, CRM, SHOP, startApp } from '../helpers/app.ts';
import { aDelivery } from '../helpers/delivery.ts';

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
