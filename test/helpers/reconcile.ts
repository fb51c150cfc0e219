import { onTestFinished, vi } from 'vitest';
import type { Delivery } from '../../src/core/delivery/delivery.ts';
import type { MailboxFault, SentResult } from '../../src/core/ports/mailbox.ts';
import { type Core, type CoreSetup, type FindSent, type Send, startCore } from './core.ts';
import { aFailure, aFault, anAcceptance } from './outcome.ts';

/** The reply to the message is lost. */
export const LOST = aFailure(aFault('connection_lost', { certain: false }));
export const ABSENT: SentResult = { kind: 'absent' };
export const FOUND: SentResult = { kind: 'found' };
export const DOWN: MailboxFault = { code: 'imap_unavailable', detail: 'No route to host.', isRefusal: false };
export const REFUSED: MailboxFault = { code: 'imap_disabled', detail: 'IMAP is off.', isRefusal: true };
export const TO = ['ada@example.com', 'bob@example.com'];

/** Starts a core with these attempts and searches. It ends with the test. */
export function startReconciling(send: Send, findSent: FindSent, setup: CoreSetup = {}): Core {
  const core = startCore(send, { findSent, ...setup });
  onTestFinished(() => core[Symbol.asyncDispose]());
  return core;
}

/** A transport whose first attempts end with these outcomes; later ones succeed. */
export const sends =
  (...outcomes: (typeof LOST)[]): Send =>
  (job) =>
    outcomes.shift() ?? anAcceptance(job.recipients);

/** Searches with these results; the last one repeats. `calls` counts them. */
export function finds(...results: SentResult[]): FindSent & { readonly calls: number } {
  const find = () => {
    find.calls += 1;
    return results[Math.min(find.calls, results.length) - 1] ?? ABSENT;
  };
  find.calls = 0;
  return find;
}

export const failing = (fault: MailboxFault): SentResult => ({ kind: 'failed', fault });

/** A mailbox that does not respond. */
export const hangs: FindSent = (_query, _user, signal) =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(failing(DOWN))));

/** Waits until a stored delivery passes the check. */
export async function becomes(
  core: Core,
  id: string,
  check: (delivery: Delivery) => boolean,
): Promise<Delivery> {
  return vi.waitFor(
    async () => {
      const delivery = await core.store.get(id);
      if (!delivery || !check(delivery)) throw new Error(`${id} is ${JSON.stringify(delivery)}`);
      return delivery;
    },
    { timeout: 5000, interval: 2 },
  );
}
