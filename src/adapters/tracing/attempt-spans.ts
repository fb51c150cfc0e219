import { type Attributes, SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api';
import type { Attempt, Delivery } from '../../core/delivery/delivery.ts';
import type { Outcome } from '../../core/delivery/outcome.ts';
import type { Events } from '../../core/events.ts';
import { placeOf } from './span-context.ts';

/**
 * Records attempts as CLIENT spans once they have ended, so that attempts need not know about
 * traces.
 *
 * @param startedAt When the process started, in epoch ms
 */
export function recordAttempts(events: Events, tracer: Tracer, startedAt: number): void {
  events.on('message.attempted', (delivery, attempt, outcome) => {
    const { parent, links } = placeOf(delivery.trace, attempt.startedAt, startedAt);
    const attributes = attributesOf(delivery, attempt, outcome);
    // As dates: the SDK takes a number before the start of the process for a time since its start.
    const startTime = new Date(attempt.startedAt);
    const endTime = new Date(attempt.endedAt ?? attempt.startedAt);
    const span = tracer.startSpan(
      'smtp send',
      { kind: SpanKind.CLIENT, attributes, links, startTime },
      parent,
    );
    if (outcome.fault) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end(endTime);
  });
}

function attributesOf(
  { id }: Delivery,
  { number, account }: Attempt,
  { server, fault }: Outcome,
): Attributes {
  // An attempt that a crash interrupted has no server.
  const [, address, port] = /^(.+):(\d+)$/.exec(server) ?? [];
  return {
    'outtray.message.id': id,
    'outtray.account': account,
    'outtray.attempt': number,
    ...(address !== undefined && { 'server.address': address, 'server.port': Number(port) }),
    ...(fault && { 'error.type': fault.error.code }),
  };
}
