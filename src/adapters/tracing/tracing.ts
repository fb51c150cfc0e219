import type { TracerProvider } from '@opentelemetry/api';
import type { Events } from '../../core/events.ts';
import type { RequestTracer } from '../../core/ports/request-tracer.ts';
import type { WebhookSender } from '../../core/ports/webhook-sender.ts';
import { recordAttempts } from './attempt-spans.ts';
import { createRequestTracer } from './request-spans.ts';
import { traceCalls } from './webhook-spans.ts';

/** Spans of requests, attempts and webhook calls. */
export interface Tracing {
  readonly requests: RequestTracer;
  /** Records a span for each attempt that ends. */
  recordAttempts(events: Events): void;
  /** Returns a sender that records a span for each call. */
  traceCalls(sender: WebhookSender): WebhookSender;
  /** Exports the spans that have ended. Rejects if the SDK fails to. */
  flush(): Promise<void>;
}

/** What the provider of an SDK has beyond the API. */
interface SdkProvider extends TracerProvider {
  /** In the provider that the API registers in place of the SDK's. */
  getDelegate?(): SdkProvider;
  forceFlush?(): Promise<void>;
}

/** @param version Version of Outtray */
export function createTracing(provider: SdkProvider, version: string): Tracing {
  const tracer = provider.getTracer('outtray', version);
  const startedAt = Date.now();
  return {
    requests: createRequestTracer(tracer),
    recordAttempts: (events) => recordAttempts(events, tracer, startedAt),
    traceCalls: (sender) => traceCalls(sender, tracer, startedAt),
    async flush() {
      const sdk = provider.getDelegate?.() ?? provider;
      await sdk.forceFlush?.();
    },
  };
}
