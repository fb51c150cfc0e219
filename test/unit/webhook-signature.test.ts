import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import { signatureHeaders } from '../../src/adapters/webhook/signature.ts';
import { parseWebhookSecrets } from '../../src/config/webhook-config.ts';

interface Vector {
  readonly secret: string;
  readonly webhook_id: string;
  readonly webhook_timestamp: number;
  readonly payload: string;
  readonly signature: string;
}

const vectors: Vector[] = JSON.parse(
  readFileSync(new URL('../corpora/standard-webhooks/vectors.json', import.meta.url), 'utf8'),
);
const aSecret = () => `whsec_${randomBytes(32).toString('base64')}`;

test.each(vectors)(
  'the signature is that of the vector $webhook_id',
  ({ secret, webhook_id, webhook_timestamp, payload, signature }) => {
    const call = { id: webhook_id, sentAt: webhook_timestamp * 1000 + 999, body: payload };
    expect(signatureHeaders(call, parseWebhookSecrets(secret))).toEqual({
      'webhook-id': webhook_id,
      'webhook-timestamp': String(webhook_timestamp),
      'webhook-signature': signature,
    });
  },
);

describe('the public package standardwebhooks', () => {
  const [former, current, stranger] = [aSecret(), aSecret(), aSecret()];
  const body = JSON.stringify({ type: 'message.sent', data: { subject: 'Grüße, 東京 🎉' } });
  const call = { id: 'evt_1', sentAt: Date.now(), body };

  test('verifies what is signed, and finds the body in it', () => {
    expect(new Webhook(current).verify(body, signatureHeaders(call, parseWebhookSecrets(current)))).toEqual(
      JSON.parse(body),
    );
  });

  test('verifies with either of two secrets while they are being changed, and with no other', () => {
    const headers = signatureHeaders(call, parseWebhookSecrets(`${current},${former}`));
    for (const secret of [current, former])
      expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
    expect(() => new Webhook(stranger).verify(body, headers)).toThrow('No matching signature');
  });

  test('refuses another body and another id', () => {
    const headers = signatureHeaders(call, parseWebhookSecrets(current));
    expect(() => new Webhook(current).verify(`${body} `, headers)).toThrow('No matching signature');
    expect(() => new Webhook(current).verify(body, { ...headers, 'webhook-id': 'evt_2' })).toThrow(
      'No matching signature',
    );
  });
});
