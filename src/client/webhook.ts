import type { AccountEvent, FollowUpEvent, MessageEvent } from './schema.ts';

/** As Standard Webhooks recommends: an older call may be a replay of a recorded one. */
const TOLERANCE_S = 5 * 60;
const HMAC = { name: 'HMAC', hash: 'SHA-256' };

/** What `POST /webhooks/test` sends. */
export interface TestEvent {
  type: 'webhook.test';
  /** ISO 8601. */
  timestamp: string;
  data: Record<string, never>;
}

/** The body of a webhook call. `type` identifies the kind. */
export type WebhookEvent = MessageEvent | FollowUpEvent | AccountEvent | TestEvent;

export interface WebhookCall {
  /** The body as received: the signature covers its bytes, not the parsed JSON. */
  readonly body: string | Uint8Array;
  /** The headers of the request: a `Headers` of fetch, or an object as in Node's `http` and Express. */
  readonly headers: Pick<Headers, 'get'> | Readonly<Record<string, string | readonly string[] | undefined>>;
  /** `WEBHOOK_SECRET` of the service, or the `webhook_secret` of the key: one, or two in a rotation. */
  readonly secret: string | readonly string[];
}

/** The call is not from the service, or was altered or replayed. Respond 401. */
export class WebhookVerificationError extends Error {
  override readonly name = 'WebhookVerificationError';
}

/**
 * Verifies the signature and the age of a webhook call, and returns its event.
 *
 *     const event = await verifyWebhook({ body, headers: request.headers, secret });
 *     if (event.type === 'message.failed') console.log(event.data.error?.code);
 *
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
 *
 * @throws {WebhookVerificationError} If no signature is by one of the secrets, or the call is more
 * than five minutes old
 * @throws {TypeError} If a secret is not `whsec_` followed by base64
 */
export async function verifyWebhook({ body, headers, secret }: WebhookCall): Promise<WebhookEvent> {
  const secrets = (typeof secret === 'string' ? secret.split(',') : secret).map(decodeSecret);
  const id = headerOf(headers, 'webhook-id');
  const timestamp = headerOf(headers, 'webhook-timestamp');
  const signatures = headerOf(headers, 'webhook-signature').split(' ').flatMap(decodeSignature);
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE_S))
    throw new WebhookVerificationError('webhook-timestamp is more than five minutes from now');
  const bytes = typeof body === 'string' ? encode(body) : body;
  const signed = concat(encode(`${id}.${timestamp}.`), bytes);
  for (const each of secrets) {
    const key = await crypto.subtle.importKey('raw', each, HMAC, false, ['verify']);
    for (const signature of signatures) {
      if (await crypto.subtle.verify(HMAC, key, signature, signed))
        return JSON.parse(new TextDecoder().decode(bytes)) as WebhookEvent;
    }
  }
  throw new WebhookVerificationError('webhook-signature is not by this secret');
}

function headerOf(headers: WebhookCall['headers'], name: string): string {
  const value = isHeaders(headers)
    ? headers.get(name)
    : Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  if (typeof value === 'string' && value !== '') return value;
  throw new WebhookVerificationError(`The header ${name} is missing`);
}

/** Not by `instanceof`: frameworks bring their own class. */
function isHeaders(headers: WebhookCall['headers']): headers is Pick<Headers, 'get'> {
  return typeof headers.get === 'function';
}

function decodeSecret(secret: string): Bytes {
  const bytes = decodeBase64(secret.trim().replace(/^whsec_/, ''));
  if (!bytes?.length) throw new TypeError('A webhook secret is "whsec_" followed by base64');
  return bytes;
}

/** Signatures of other versions are ignored, as the specification requires. */
function decodeSignature(signature: string): readonly Bytes[] {
  const bytes = signature.startsWith('v1,') ? decodeBase64(signature.slice('v1,'.length)) : undefined;
  return bytes ? [bytes] : [];
}

/** Backed by memory that is not shared, as Web Crypto requires. */
type Bytes = Uint8Array<ArrayBuffer>;

function decodeBase64(text: string): Bytes | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function encode(text: string): Bytes {
  return new Uint8Array(new TextEncoder().encode(text));
}

function concat(first: Uint8Array, second: Uint8Array): Bytes {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
