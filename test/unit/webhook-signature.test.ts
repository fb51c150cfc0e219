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
  'matches the signature of the test vector $webhook_id',
  ({ secret, webhook_id, webhook_timestamp, payload, signature }) => {
    const call = { id: webhook_id, sentAt: webhook_timestamp * 1000 + 999, body: payload };
    expect(signatureHeaders(call, parseWebhookSecrets(secret))).toEqual({
      'webhook-id': webhook_id,
      'webhook-timestamp': String(webhook_timestamp),
      'webhook-signature': signature,
    });
  },
);

describe('the package standardwebhooks', () => {
  const [previous, current, unknown] = [aSecret(), aSecret(), aSecret()];
  const body = JSON.stringify({ type: 'message.sent', data: { subject: 'Grüße, 東京 🎉' } });
  const call = { id: 'evt_1', sentAt: Date.now(), body };

  test('verifies a signed call and returns its body', () => {
    expect(new Webhook(current).verify(body, signatureHeaders(call, parseWebhookSecrets(current)))).toEqual(
      JSON.parse(body),
    );
  });

  test('verifies a call with either of two secrets during a rotation, and with no other secret', () => {
    const headers = signatureHeaders(call, parseWebhookSecrets(`${current},${previous}`));
    for (const secret of [current, previous])
      expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
    expect(() => new Webhook(unknown).verify(body, headers)).toThrow('No matching signature');
  });

  test('rejects a changed body and a changed id', () => {
    const headers = signatureHeaders(call, parseWebhookSecrets(current));
    expect(() => new Webhook(current).verify(`${body} `, headers)).toThrow('No matching signature');
    expect(() => new Webhook(current).verify(body, { ...headers, 'webhook-id': 'evt_2' })).toThrow(
      'No matching signature',
    );
  });
});
