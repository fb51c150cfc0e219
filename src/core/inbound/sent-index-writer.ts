import { createDelayedWrites } from '../delayed-writes.ts';
import { type Delivery, mayBeAccepted } from '../delivery/delivery.ts';
import type { FollowUp } from '../delivery/follow-up.ts';
import type { Events } from '../events.ts';
import type { SentIndex, SentMail } from '../ports/sent-index.ts';
import { isUnavailable } from '../retry-until-available.ts';

/** Maximum number of messages in one write. */
const BATCH_SIZE = 100;
/** Maximum number of messages that wait while the backend is unavailable. The oldest are dropped. */
const MAX_WAITING = 10_000;

/**
 * Adds messages to the index once they are sent, and removes recipients that bounce: so a bounce that
 * is read again after RETAIN is known.
 */
export interface SentIndexWriter {
  /** Writes what waits. Collects nothing more. */
  drain(): Promise<void>;
}

export interface SentIndexWriterOptions {
  readonly events: Events;
  readonly sentIndex: Pick<SentIndex, 'add'>;
  /** Messages could not be added, because of a bug. */
  readonly onError: (error: unknown) => void;
}

/**
 * Collects changes, and writes them every second. A process that is killed loses those of its last
 * second: a bounce of such a message is unknown only if it arrives after RETAIN.
 */
export function startSentIndexWriter({
  events,
  sentIndex,
  onError,
}: SentIndexWriterOptions): SentIndexWriter {
  const waiting: SentMail[] = [];
  const writes = createDelayedWrites(writeAll);

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH_SIZE);
      try {
        await sentIndex.add(batch);
      } catch (error) {
        if (!isUnavailable(error)) {
          onError(error);
          continue;
        }
        waiting.unshift(...batch);
        writes.schedule();
        return;
      }
    }
  }

  function collect({ id, owner, account, test }: Delivery, recipients: readonly string[]): void {
    if (test) return;
    waiting.push({ id, owner, account, recipients });
    if (waiting.length > MAX_WAITING) waiting.shift();
    writes.schedule();
  }

  function onSettled(delivery: Delivery): void {
    const recipients = takenOf(delivery);
    if (recipients.length > 0) collect(delivery, recipients);
  }

  function onFollowedUp(delivery: Delivery, { kind }: FollowUp): void {
    if (kind === 'bounced') collect(delivery, takenOf(delivery));
  }

  events.on('message.settled', onSettled);
  events.on('message.followed_up', onFollowedUp);
  return {
    drain() {
      events.off('message.settled', onSettled);
      events.off('message.followed_up', onFollowedUp);
      return writes.drain();
    },
  };
}

/** Returns the recipients for which a server has accepted a message, or may have. */
function takenOf(delivery: Delivery): string[] {
  return delivery.recipients.filter((each) => mayBeAccepted(each, delivery)).map(({ email }) => email);
}
