import { createDelayedWrites } from './delayed-writes.ts';
import { type Attempt, type Delivery, namedOf } from './delivery/delivery.ts';
import type { Outcome } from './delivery/outcome.ts';
import type { Events } from './events.ts';
import { domainOf, isPersonalGmail } from './message/address.ts';
import type { SharedState, SharedValue } from './ports/shared-state.ts';
import { isUnavailable } from './retry-until-available.ts';
import { DAY } from './time.ts';
import { addUsage, totalUsage } from './usage.ts';

/**
 * A domain that sends this number of messages in 24 h to personal Gmail accounts is a bulk sender,
 * with stricter rules: https://support.google.com/mail/answer/81126.
 */
export const BULK_MESSAGES = 5000;
/** Number of messages from which the operator is warned. */
export const BULK_WARNING = 4000;

/** Counts the messages to personal Gmail accounts that each From domain sends in 24 h. */
export interface GmailVolume {
  /**
   * Returns the messages of the last 24 h, of all instances, one for each recipient.
   *
   * @throws {AppError} `queue_unavailable`
   */
  read(domain: string): Promise<number>;
  /** Replaces the From domains of accounts. */
  setDomains(domains: FromDomains): void;
  /** Writes the counts of messages that have been sent. Counts no further messages. */
  drain(): Promise<void>;
}

/** The From domains of accounts. Others count for the domain of the account that sends. */
export interface FromDomains {
  has(domain: string): boolean;
}

interface VolumeState {
  /** When the operator was last warned, in epoch ms by the shared clock. Null: never. */
  warnedAt: number | null;
}

export interface GmailVolumeOptions {
  readonly events: Events;
  readonly domains: FromDomains;
  readonly sharedState: Pick<SharedState, 'open' | 'now'>;
  /** A count could not be written, because of a bug. */
  readonly onError: (error: unknown) => void;
}

/**
 * Counts in memory, and adds to the shared counts every second. A process that is killed loses the
 * count of its last second: the count is for a warning, and limits nothing.
 */
export function createGmailVolume({
  events,
  domains: first,
  sharedState,
  onError,
}: GmailVolumeOptions): GmailVolume {
  const unwritten = new Map<string, number>();
  const opened = new Map<string, Promise<SharedValue<VolumeState>>>();
  const writes = createDelayedWrites(writeAll);
  let domains = first;

  function open(domain: string): Promise<SharedValue<VolumeState>> {
    const value = opened.get(domain) ?? sharedState.open(`gmail:${domain}`, () => ({ warnedAt: null }));
    opened.set(domain, value);
    // Another call may succeed.
    value.catch(() => opened.delete(domain));
    return value;
  }

  async function write(domain: string): Promise<void> {
    const value = await open(domain);
    const messages = unwritten.get(domain) ?? 0;
    if (messages === 0) return;
    unwritten.delete(domain);
    try {
      const warnedOf = await value.change((draft, usage) => {
        const now = sharedState.now();
        addUsage(usage, { messages, recipients: 0 }, now);
        const sent = totalUsage(usage, now).messages;
        if (sent < BULK_WARNING || (draft.warnedAt !== null && now - draft.warnedAt < DAY)) return null;
        draft.warnedAt = now;
        return sent;
      });
      if (warnedOf !== null) events.emit('domain.near_bulk', domain, warnedOf);
    } catch (error) {
      unwritten.set(domain, messages + (unwritten.get(domain) ?? 0));
      throw error;
    }
  }

  async function writeAll(): Promise<void> {
    for (const domain of [...unwritten.keys()]) {
      try {
        await write(domain);
      } catch (error) {
        if (isUnavailable(error)) writes.schedule();
        else onError(error);
      }
    }
  }

  function count(delivery: Delivery, { account }: Attempt, outcome: Outcome): void {
    if (delivery.test) return;
    const messages = takenBy(outcome, delivery).filter(isPersonalGmail).length;
    const from = domainOf(delivery.envelope.from.email);
    const domain = domains.has(from) ? from : domainOf(account);
    if (messages === 0 || isPersonalGmail(`@${domain}`)) return;
    unwritten.set(domain, messages + (unwritten.get(domain) ?? 0));
    writes.schedule();
  }

  events.on('message.attempted', count);
  return {
    async read(domain) {
      await writes.flush();
      const value = await open(domain);
      await value.read();
      return totalUsage(value.usage, sharedState.now()).messages;
    },
    setDomains(next) {
      domains = next;
    },
    drain() {
      events.off('message.attempted', count);
      return writes.drain();
    },
  };
}

/** Returns the recipients that the server accepted the message for, or may have. */
function takenBy({ accepted, fault }: Outcome, delivery: Delivery): readonly string[] {
  return fault?.certain === false ? namedOf(delivery) : accepted;
}
