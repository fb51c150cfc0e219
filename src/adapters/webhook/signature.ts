import { createHmac } from 'node:crypto';
import type { WebhookCall } from '../../core/ports/webhook-sender.ts';

/**
 * Returns the headers of Standard Webhooks, by which a receiver verifies the sender and age of a
 * call. There is one `v1` signature for each secret, and no header if there is no secret.
 *
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
 */
export function signatureHeaders(
  { id, sentAt, body }: Pick<WebhookCall, 'id' | 'sentAt' | 'body'>,
  secrets: readonly Uint8Array[],
): Record<string, string> {
  if (secrets.length === 0) return {};
  const timestamp = String(Math.floor(sentAt / 1000));
  const signed = `${id}.${timestamp}.${body}`;
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': secrets
      .map((secret) => `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`)
      .join(' '),
  };
}
