import createClient, { type Client } from 'openapi-fetch';
import type { paths } from './schema.ts';

/**
 * Every schema of openapi.yaml under its own name: SendRequest, Message, Problem and so on. The
 * payloads of webhooks are MessageEvent and AccountEvent.
 */
export type * from './schema.ts';

/** Methods such as `GET` and `POST`, typed by the paths of openapi.yaml. */
export type OuttrayClient = Client<paths>;

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
 *     const { data, error } = await outtray.POST('/send', {
 *       body: { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' },
 *     });
 */
export function createOuttrayClient({ baseUrl, apiKey, fetch }: OuttrayClientOptions): OuttrayClient {
  return createClient<paths>({
    baseUrl,
    headers: { authorization: `Bearer ${apiKey}` },
    ...(fetch ? { fetch } : {}),
  });
}
