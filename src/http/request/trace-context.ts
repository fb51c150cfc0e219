import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import type { TraceContext } from '../../core/delivery/trace-context.ts';

/** Version, trace id, span id, flags, and what later versions add. */
const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;
const ONLY_ZEROS = /^0+$/;
/** Flags that are defined: sampled, and random trace id. The others are set to zero. */
const KNOWN_FLAGS = 0b11;

/** A key and a value of `tracestate`. */
const MEMBER = /^[a-z\d][a-z\d_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]$/;
const MAX_MEMBERS = 32;
/** Length of `tracestate` that is kept. The specification asks for at least 512. */
const MAX_LENGTH = 512;
/** Longer members are dropped first. */
const LONG_MEMBER = 128;

/** The headers that {@link readTraceContext} reads. They have no examples: `/docs` would fill them in. */
export const TRACE_HEADERS = {
  traceparent: z.string().optional().meta({
    description:
      'The trace of the caller (W3C Trace Context). It is kept with the message: logs and webhooks have its `trace_id`. An invalid value is ignored.',
  }),
  tracestate: z.string().optional().meta({
    description:
      'Data of tracing systems that accompanies `traceparent`. At most 512 characters are kept. An invalid value is ignored.',
  }),
};

/**
 * Returns the trace context in the headers of a request (W3C Trace Context, level 2). Null if there
 * is none, or if `traceparent` is invalid. An invalid `tracestate` is ignored alone.
 */
export function readTraceContext(headers: IncomingHttpHeaders): TraceContext | null {
  const header = headers.traceparent;
  if (header === undefined) return null;
  // A repeated header is an array or a list, which is invalid.
  const traceparent = parseTraceparent(String(header));
  if (traceparent === null) return null;
  const { tracestate } = headers;
  return {
    traceparent,
    tracestate: tracestate === undefined ? null : parseTracestate(String(tracestate)),
    startedAt: Date.now(),
  };
}

/** Returns the header in version 00, as the specification requires for later versions. */
function parseTraceparent(header: string): string | null {
  const [, version = '', traceId = '', spanId = '', flags = '', rest] = TRACEPARENT.exec(header) ?? [];
  if (version === '' || version === 'ff' || (version === '00' && rest !== undefined)) return null;
  if (ONLY_ZEROS.test(traceId) || ONLY_ZEROS.test(spanId)) return null;
  const known = Number.parseInt(flags, 16) & KNOWN_FLAGS;
  return `00-${traceId}-${spanId}-0${known}`;
}

/** Returns the members without the blanks around them, or null if there is none or one is invalid. */
function parseTracestate(header: string): string | null {
  const members = header
    .split(',')
    .map((member) => member.replace(/^[ \t]+|[ \t]+$/g, ''))
    .filter((member) => member !== '');
  if (members.length > MAX_MEMBERS || !members.every((member) => MEMBER.test(member))) return null;
  return truncate(members).join(',') || null;
}

/** Drops whole members until the list is short enough: long ones first, then from the end. */
function truncate(members: readonly string[]): readonly string[] {
  const lengthOf = (list: readonly string[]) => list.join(',').length;
  if (lengthOf(members) <= MAX_LENGTH) return members;
  const kept = members.filter(({ length }) => length <= LONG_MEMBER);
  while (lengthOf(kept) > MAX_LENGTH) kept.pop();
  return kept;
}
