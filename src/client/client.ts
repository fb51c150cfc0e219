import createClient, { type Client } from 'openapi-fetch';
import { createMessageCalls, type MessageCalls } from './messages.ts';
import type { paths } from './schema.ts';

export type { CallResult, RepeatableMessage, SendOptions } from './messages.ts';
/**
 * Every schema of openapi.yaml under its own name: SendRequest, Message, Problem and so on. The
 * payloads of webhooks are MessageEvent, FollowUpEvent and AccountEvent.
 */
export type * from './schema.ts';
export { type TestEvent, verifyWebhook, type WebhookEvent, WebhookVerificationError } from './webhook.ts';

/**
 * `send` and `wait`, and methods such as `GET` and `POST` for every path of openapi.yaml.
 */
export interface OuttrayClient extends Client<paths>, MessageCalls {}

export interface OuttrayClientOptions {
  /** The URL of the service, such as `http://127.0.0.1:3000`. */
  readonly baseUrl: string;
  /** A secret from API_KEYS, without the name of the key. */
  readonly apiKey: string;
  /**
   * Replaces the global fetch, for example to set a timeout, to trace requests or to use a proxy.
   */
  readonly fetch?: (request: Request) => Promise<Response>;
}

/**
 * Creates a client for the service at `baseUrl`.
 *
 * Each call resolves with `{ data, error, response }`: `data` if the status is 2xx, else `error`,
 * which is a Problem. It rejects only if there is no response. Then repeat the request with the
 * same `Idempotency-Key`: nothing is sent twice.
 *
 *     const { data, error } = await outtray.send({
 *       to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.',
 *     });
 *     if (error) throw new Error(`${error.code}: ${error.hint}`);
 *     console.log(data.id);
 */
export function createOuttrayClient({ baseUrl, apiKey, fetch }: OuttrayClientOptions): OuttrayClient {
  const client = createClient<paths>({
    baseUrl,
    headers: { authorization: `Bearer ${apiKey}` },
    ...(fetch ? { fetch } : {}),
  });
  return Object.assign(client, createMessageCalls(client));
}
