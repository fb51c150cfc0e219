import type { TraceContext } from '../delivery/trace-context.ts';

/** One POST to an endpoint. */
export interface WebhookCall {
  readonly url: string;
  /** Name of the API key whose endpoint it is. Null: the endpoint is WEBHOOK_URL. */
  readonly key: string | null;
  /** Sent as `webhook-id`. */
  readonly id: string;
  /** Epoch ms. Sent as `webhook-timestamp`. */
  readonly sentAt: number;
  readonly body: string;
  /** Sent as `traceparent` and `tracestate`. */
  readonly trace?: TraceContext | undefined;
}

/** How a call ended. */
export type WebhookResult = {
  /** Status of the response. Missing without one. */
  readonly status?: number;
} & (WebhookTaken | WebhookGone | WebhookFailed);

/** The endpoint responded 2xx. */
interface WebhookTaken {
  readonly kind: 'taken';
}

/** The endpoint responded 410: it must not be called again. */
interface WebhookGone {
  readonly kind: 'gone';
}

interface WebhookFailed {
  readonly kind: 'failed';
  /** Fit for a log: contains no part of the URL's path or query, and nothing of the response's body. */
  readonly reason: string;
  readonly retryAfterMs: number | null;
}

/** Calls webhook endpoints with signed requests. */
export interface WebhookSender {
  /** Makes one attempt, with a deadline. Never rejects. */
  post(call: WebhookCall): Promise<WebhookResult>;
  /** Ends running calls, which then have failed, and closes idle connections. */
  close(): Promise<void>;
}
