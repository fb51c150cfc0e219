import { describe, expect, test } from 'vitest';
import { API_KEY } from '../helpers/service.ts';
import { startWithGmail } from '../helpers/smtp/gmail.ts';

const NOBODY = 'no-such-user@simulator.test';
const HELLO = { to: NOBODY, subject: 'Hello', text: 'Hello.' };

describe('an address that Gmail refused permanently', () => {
  test('is refused without another attempt until its suppression is removed', async () => {
    await using app = await startWithGmail();
    const first = await app.service.send(HELLO, { wait: 20 });
    expect(first.body).toMatchObject({ code: 'recipients_rejected', smtp: { code: 550, enhanced: '5.1.1' } });
    const again = await app.service.send({ ...HELLO, to: 'No-Such-User@simulator.test' });
    expect([again.status, again.body]).toMatchObject([
      422,
      {
        code: 'recipient_suppressed',
        errors: [
          { pointer: '/to/0', detail: expect.stringContaining(`Gmail permanently refused ${NOBODY}`) },
        ],
      },
    ]);
    expect(app.gmail.transactions).toHaveLength(1);

    const { body } = await app.service.request(`/suppressions/${NOBODY}`);
    expect(body).toMatchObject({
      email: NOBODY,
      reason: 'refused',
      accounts: ['bot@simulator.test'],
      message: first.body.message?.id,
    });
    const headers = { authorization: `Bearer ${API_KEY}` };
    expect(
      (await fetch(`${app.service.url}/suppressions/${NOBODY}`, { method: 'DELETE', headers })).status,
    ).toBe(204);
    expect((await app.service.send(HELLO, { wait: 20 })).body).toMatchObject({ code: 'recipients_rejected' });
    expect(app.gmail.transactions).toHaveLength(2);
  });

  test('is skipped when it is one of several, and the message reports it', async () => {
    await using app = await startWithGmail();
    await app.service.send({ ...HELLO, to: ['ada@example.com', NOBODY] }, { wait: 20 });
    const { status, body } = await app.service.send(
      { ...HELLO, to: ['ada@example.com', NOBODY] },
      { wait: 20 },
    );
    expect([status, body]).toMatchObject([
      200,
      {
        status: 'partially_sent',
        error: {
          code: 'recipient_suppressed',
          detail: `Not sent to: ${NOBODY} (1 of 2 recipients).`,
          smtp: { code: 550 },
        },
        recipients: [
          { email: 'ada@example.com', status: 'accepted' },
          { email: NOBODY, status: 'suppressed', smtp: { enhanced: '5.1.1' } },
        ],
      },
    ]);
    expect(app.gmail.messages.at(-1)?.recipients).toEqual(['ada@example.com']);
  });

  test('is tried each time with SUPPRESS=never, while manual suppressions still apply', async () => {
    await using app = await startWithGmail({ env: { SUPPRESS: 'never' } });
    for (let n = 0; n < 2; n += 1) {
      expect((await app.service.send(HELLO, { wait: 20 })).body).toMatchObject({
        code: 'recipients_rejected',
      });
    }
    expect((await app.service.request(`/suppressions/${NOBODY}`, { method: 'PUT' })).body).toMatchObject({
      reason: 'manual',
    });
    expect((await app.service.send(HELLO)).body).toMatchObject({
      code: 'recipient_suppressed',
      errors: [{ detail: expect.stringContaining(`${NOBODY} was added manually`) }],
    });
  });
});
