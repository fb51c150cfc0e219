/** One POST to an endpoint. */
export interface WebhookCall {
  readonly url: string;
  /** `webhook-id`. */
  readonly id: string;
  /** Epoch ms, becomes `webhook-timestamp`. */
  readonly sentAt: number;
  readonly body: string;
}

export type WebhookResult =
  | { readonly kind: 'taken' }
  /** 410: the endpoint wants no more, ever. */
  | { readonly kind: 'gone' }
  /** `reason` is fit for a log: it holds no part of the URL's path or query, and nothing of the answer's body. */
  | { readonly kind: 'failed'; readonly reason: string; readonly retryAfterMs: number | null };

/** Calls endpoints, signed. */
export interface WebhookSender {
  /** One attempt, with a deadline of its own. Never rejects. */
  post(call: WebhookCall): Promise<WebhookResult>;
  /** Ends calls under way (they have failed) and closes idle connections. */
  close(): Promise<void>;
}
