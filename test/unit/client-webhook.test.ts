import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { signatureHeaders } from '../../src/adapters/webhook/signature.ts';
import { verifyWebhook, WebhookVerificationError } from '../../src/client/webhook.ts';
import { parseWebhookSecrets } from '../../src/config/webhook-config.ts';

const aSecret = () => `whsec_${randomBytes(32).toString('base64')}`;
const SECRET = aSecret();
const BODY = JSON.stringify({
  type: 'message.sent',
  sequence: 3,
  data: { id: 'msg_1', subject: 'Grüße 🎉' },
});

/** The headers of a call that the service signs with these secrets, `ageS` seconds ago. */
const signed = (secrets = SECRET, { body = BODY, ageS = 0 } = {}) =>
  signatureHeaders({ id: 'evt_1', sentAt: Date.now() - ageS * 1000, body }, parseWebhookSecrets(secrets));

describe('verifyWebhook returns the event', () => {
  test.each([
    ['an object of headers', signed()],
    ['a Headers of fetch', new Headers(signed())],
    [
      'header names in another case',
      Object.fromEntries(Object.entries(signed()).map(([name, value]) => [name.toUpperCase(), value])),
    ],
  ])('given %s', async (_, headers) => {
    await expect(verifyWebhook({ body: BODY, headers, secret: SECRET })).resolves.toEqual(JSON.parse(BODY));
  });

  test('given the body as bytes', async () => {
    const body = Buffer.from(BODY);
    await expect(verifyWebhook({ body, headers: signed(), secret: SECRET })).resolves.toMatchObject({
      data: { subject: 'Grüße 🎉' },
    });
  });

  test('of a mail that followed a message, with a type of its own', async () => {
    const followUp = { kind: 'bounced', recipients: ['ada@example.com'] };
    const body = JSON.stringify({ type: 'message.bounced', follow_up: followUp, data: { bounced: true } });
    const event = await verifyWebhook({ body, headers: signed(SECRET, { body }), secret: SECRET });
    if (event.type !== 'message.bounced') throw new Error('the type is another');
    expect([event.follow_up.recipients, event.data.bounced]).toEqual([['ada@example.com'], true]);
  });

  test('while either side rotates its secret', async () => {
    const former = aSecret();
    const byBoth = signed(`${former},${SECRET}`);
    for (const secret of [former, SECRET, [aSecret(), SECRET], `${aSecret()},${former}`])
      await expect(verifyWebhook({ body: BODY, headers: byBoth, secret })).resolves.toBeDefined();
  });

  test.each([299, -299])('of a call that is %i s old', async (ageS) => {
    const headers = signed(SECRET, { ageS });
    await expect(verifyWebhook({ body: BODY, headers, secret: SECRET })).resolves.toBeDefined();
  });
});

describe('verifyWebhook refuses', () => {
  test.each([
    ['another secret', signed(aSecret()), /signature is not by this secret/],
    ['an altered body', signed(SECRET, { body: `${BODY} ` }), /signature is not by this secret/],
    ['another id', { ...signed(), 'webhook-id': 'evt_2' }, /signature is not by this secret/],
    ['a call that is 301 s old', signed(SECRET, { ageS: 301 }), /more than five minutes/],
    ['a call from the future', signed(SECRET, { ageS: -302 }), /more than five minutes/],
    ['a timestamp that is no number', { ...signed(), 'webhook-timestamp': 'now' }, /more than five minutes/],
    ['a signature that is not base64', { ...signed(), 'webhook-signature': 'v1,%%' }, /not by this secret/],
    [
      'a signature of another version',
      { ...signed(), 'webhook-signature': 'v1a,AAAA' },
      /not by this secret/,
    ],
    ['a call without headers', {}, /The header webhook-id is missing/],
  ])('%s', async (_, headers, reason) => {
    const call = verifyWebhook({ body: BODY, headers, secret: SECRET });
    await expect(call).rejects.toThrow(WebhookVerificationError);
    await expect(call).rejects.toThrow(reason);
  });

  test.each(['', 'whsec_', 'whsec_%'])('the secret %j, whatever the call', async (secret) => {
    await expect(verifyWebhook({ body: BODY, headers: signed(), secret })).rejects.toThrow(TypeError);
  });
});
