import createClient, { type Client } from 'openapi-fetch';
import type { paths } from './schema.ts';

/** Every schema of openapi.yaml under its own name: SendRequest, Message, Problem and so on. */
export type * from './schema.ts';

/** `GET`, `POST` and so on, each typed by its path in openapi.yaml. */
export type OuttrayClient = Client<paths>;

export interface OuttrayClientOptions {
  /** Where the service listens, such as `http://127.0.0.1:3000`. */
  readonly baseUrl: string;
  /** A secret of API_KEYS, without its name. */
  readonly apiKey: string;
  /** In place of the global fetch: to give up sooner, to trace, to go through a proxy. */
  readonly fetch?: (request: Request) => Promise<Response>;
}

/**
 * A client for the service at `baseUrl`.
 *
 * Each call resolves with `{ data, error, response }`: `data` if the status is 2xx, else `error`, which is a Problem. It rejects
 * only if there is no answer: then send again with the same `Idempotency-Key`, and nothing is sent twice.
 *
 *     const { data, error } = await outtray.POST('/send', { body: { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' } });
 */
export function createOuttrayClient({ baseUrl, apiKey, fetch }: OuttrayClientOptions): OuttrayClient {
  return createClient<paths>({
    baseUrl,
    headers: { authorization: `Bearer ${apiKey}` },
    ...(fetch ? { fetch } : {}),
  });
}
