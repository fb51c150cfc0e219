import type { Client } from 'openapi-fetch';
import type { DroppedMessage, Message, Problem, paths, SendRequest } from './schema.ts';

/** Longest wait of one request, in seconds: higher values of `Prefer: wait` count as this one. */
const LONGEST_WAIT_S = 60;
/** Shortest time between two requests of `wait`, in ms, if the service does not hold the first. */
const SHORTEST_POLL_MS = 1000;
/** Statuses after which nothing more happens to a message. */
const FINAL: ReadonlySet<Message['status']> = new Set([
  'sent',
  'partially_sent',
  'failed',
  'uncertain',
  'canceled',
  'expired',
]);

/** `data` if the status of the response is 2xx, else `error`. */
export type CallResult<Data> =
  | { readonly data: Data; readonly error?: undefined; readonly response: Response }
  | { readonly data?: undefined; readonly error: Problem; readonly response: Response };

export interface SendOptions {
  /**
   * Makes the call safe to repeat: a second call with the same key sends nothing. Use a key that
   * names the purpose of the message, such as `invoice-42`.
   */
  readonly idempotencyKey?: string;
  /**
   * Seconds to wait for the outcome, 1 to 60. If the message then fails, `error` has the reason.
   * Without it, the call returns as soon as the message is accepted.
   */
  readonly wait?: number;
  /** Aborts the request. The message may have been accepted nevertheless. */
  readonly signal?: AbortSignal;
}

/**
 * The result of a call with an idempotency key: only `id`, `status` and `finished_at` remain if the
 * message of the first call is no longer stored.
 */
export type RepeatableMessage = DroppedMessage & Partial<Omit<Message, keyof DroppedMessage>>;

export interface MessageCalls {
  /**
   * Sends a message: POST /send.
   *
   * @throws {TypeError} If `message` is a dry run, which has no id. Use `POST('/send')` for it.
   */
  send(
    message: Omit<SendRequest, 'dry_run'>,
    options?: SendOptions & { readonly idempotencyKey?: undefined },
  ): Promise<CallResult<Message>>;
  send(message: Omit<SendRequest, 'dry_run'>, options: SendOptions): Promise<CallResult<RepeatableMessage>>;
  /**
   * Waits until nothing more happens to a message, and returns it. A message can be deferred for
   * hours: limit the wait by `signal`, such as `AbortSignal.timeout(60_000)`, which rejects the call.
   * Waits again if the service is overloaded or restarting.
   *
   * @param id The `id` of an accepted message
   */
  wait(id: string, options?: Pick<SendOptions, 'signal'>): Promise<CallResult<Message>>;
}

export function createMessageCalls({ GET, POST }: Pick<Client<paths>, 'GET' | 'POST'>): MessageCalls {
  async function send(
    message: SendRequest,
    { idempotencyKey, wait, signal }: SendOptions = {},
  ): Promise<CallResult<Message>> {
    if (message.dry_run) throw new TypeError("send() returns a message: use POST('/send') for a dry run");
    const { data, error, response } = await POST('/send', {
      params: {
        header: {
          ...(idempotencyKey === undefined ? {} : { 'Idempotency-Key': idempotencyKey }),
          ...(wait === undefined ? {} : { Prefer: `wait=${wait}` }),
        },
      },
      body: message,
      signal: signal ?? null,
    });
    // Without a dry run, the response is a message, or what remains of one (see the overloads).
    return error ? { error, response } : { data: data as Message, response };
  }

  async function wait(
    id: string,
    { signal }: Pick<SendOptions, 'signal'> = {},
  ): Promise<CallResult<Message>> {
    for (;;) {
      const startedAt = performance.now();
      const { data, error, response } = await GET('/messages/{id}', {
        params: { path: { id }, header: { Prefer: `wait=${LONGEST_WAIT_S}` } },
        signal: signal ?? null,
      });
      if (error && !isTemporary(response)) return { error, response };
      if (data && FINAL.has(data.status)) return { data, response };
      const elapsedMs = performance.now() - startedAt;
      await delay(Math.max(retryAfterMs(response), SHORTEST_POLL_MS - elapsedMs), signal);
    }
  }

  return { send, wait };
}

/** Rate limited, or the service or a proxy before it cannot respond right now. */
function isTemporary({ status }: Response): boolean {
  return status === 429 || status === 502 || status === 503 || status === 504;
}

/** Returns `Retry-After` in ms, or 0 if the response has none in seconds. */
function retryAfterMs({ headers }: Response): number {
  return (Number(headers.get('retry-after')) || 0) * 1000;
}

/** Rejects with the reason of `signal` when it aborts. */
function delay(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', end);
      resolve();
    }, ms);
    if (signal?.aborted) end();
    else signal?.addEventListener('abort', end, { once: true });
  });
}
