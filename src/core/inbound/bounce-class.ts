import type { BounceClass } from '../delivery/follow-up.ts';

/** RFC 3463, section 3.2, and 5.1.10 of RFC 7505. Not 5.2.1: it also means receiving too fast. */
const HARD = new Set(['5.1.1', '5.1.2', '5.1.3', '5.1.6', '5.1.10']);

/**
 * The address of the sender (5.1.7, 5.1.8), the size of the message (5.2.3, 5.3.4), a mail loop,
 * the protocol and the content. Not 5.5.0: Microsoft uses it for a mailbox that does not exist.
 */
const POLICY = /^5\.(?:1\.[78]|2\.3|3\.4|4\.6|5\.[1-9]\d*|6\.\d+)$/;

/** Refused for the reputation of the sender: 5.7.28 at Gmail, 5.7.5xx to 5.7.7xx at Microsoft. */
const BLOCKED = /^5\.7\.(?:[01]|28|[567]\d\d)$/;
/** Failed authentication at Microsoft, which a sender can fix. */
const UNAUTHENTICATED = new Set(['5.7.509', '5.7.515']);

/**
 * Returns the class of a failure by its enhanced code (RFC 3463).
 *
 * @param status Null: the report has none
 */
export function bounceClassOf(status: string | null): BounceClass {
  if (status === null) return 'soft';
  const code = status.split('.').map(Number).join('.');
  if (HARD.has(code)) return 'hard';
  if (BLOCKED.test(code) && !UNAUTHENTICATED.has(code)) return 'blocked';
  return POLICY.test(code) || code.startsWith('5.7.') ? 'policy' : 'soft';
}
