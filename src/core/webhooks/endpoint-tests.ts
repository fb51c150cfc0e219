import { type Caller, isAdmin } from '../auth/caller.ts';
import { AppError } from '../errors.ts';
import { createId } from '../id.ts';
import type { RateCounter } from '../ports/rate-counter.ts';
import type { WebhookSender } from '../ports/webhook-sender.ts';
import type { Endpoint } from './notices.ts';
import { ENDPOINT_GONE } from './webhook-dispatcher.ts';

/** A test makes the service call another one, so each key has few. */
const TESTS_PER_KEY = { max: 5, windowMs: 60_000 };

/** How a test call ended. */
export interface EndpointTest {
  readonly endpoint: string;
  readonly eventId: string;
  readonly delivered: boolean;
  /** Why it was not delivered, as in the log. */
  readonly reason: string | null;
  readonly durationMs: number;
}

/**
 * Calls endpoints with an event of type `webhook.test`, once and without a retry, even if they
 * responded 410 before.
 */
export interface EndpointTests {
  /**
   * @param url An endpoint of the caller: its own `webhook_url`, or any that is configured for an
   *   admin. Null: its own, or else the first of these.
   * @throws {AppError} `not_found`, `rate_limited`, `queue_unavailable`
   */
  run(caller: Caller, url: string | null): Promise<EndpointTest>;
}

export interface EndpointTestsDeps {
  /** Returns every configured endpoint, that of WEBHOOK_URL first. */
  readonly endpoints: () => readonly Endpoint[];
  readonly sender: Pick<WebhookSender, 'post'>;
  readonly counter: RateCounter;
  /** Called with the URL of an endpoint that accepted a test. */
  readonly onDelivered: (url: string) => void;
}

export function createEndpointTests({
  endpoints,
  sender,
  counter,
  onDelivered,
}: EndpointTestsDeps): EndpointTests {
  function find(caller: Caller, url: string | null): Endpoint {
    const all = endpoints();
    const own = all.filter(({ key }) => key === caller.name);
    const visible = isAdmin(caller) ? [...own, ...all] : own;
    const found = url === null ? visible[0] : visible.find((endpoint) => endpoint.url === url);
    if (found) return found;
    const detail =
      url === null
        ? `No webhook endpoint is configured for the key ${caller.name}.`
        : `The key ${caller.name} has no such webhook endpoint: only configured endpoints can be tested.`;
    throw new AppError('not_found', { detail });
  }

  return {
    async run(caller, url) {
      const endpoint = find(caller, url);
      // A colon is in no name of a key, so this counter is never that of its requests.
      const { fits, resetMs } = await counter.spend(`webhook-test:${caller.name}`, 1, TESTS_PER_KEY);
      if (!fits) {
        const detail = `A key can test webhook endpoints ${TESTS_PER_KEY.max} times in a minute.`;
        throw new AppError('rate_limited', { detail, retryAfter: Math.max(1, Math.ceil(resetMs / 1000)) });
      }
      const eventId = createId('evt');
      const sentAt = Date.now();
      const timestamp = new Date(sentAt).toISOString();
      const body = JSON.stringify({ type: 'webhook.test', timestamp, data: {} });
      const startedAt = performance.now();
      const { url: target, key = null } = endpoint;
      const result = await sender.post({ url: target, key, id: eventId, sentAt, body });
      if (result.kind === 'taken') onDelivered(target);
      return {
        endpoint: target,
        eventId,
        delivered: result.kind === 'taken',
        reason: result.kind === 'taken' ? null : result.kind === 'gone' ? ENDPOINT_GONE : result.reason,
        durationMs: Math.round(performance.now() - startedAt),
      };
    },
  };
}
