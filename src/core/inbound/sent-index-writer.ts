import type { Delivery } from '../delivery/delivery.ts';
import type { Events } from '../events.ts';
import type { SentIndex, SentMail } from '../ports/sent-index.ts';
import { isUnavailable } from '../retry-until-available.ts';
import { SECOND } from '../time.ts';

/** Interval between writes, in ms: one write for many messages. */
const WRITE_EVERY_MS = SECOND;
/** Maximum number of messages in one write. */
const BATCH_SIZE = 100;
/** Maximum number of messages that wait while the backend is unavailable. The oldest are dropped. */
const MAX_WAITING = 10_000;

/** Adds messages to the index once they are sent. */
export interface SentIndexWriter {
  /** Writes what waits. Adds no further messages. */
  drain(): Promise<void>;
}

export interface SentIndexWriterOptions {
  readonly events: Events;
  readonly sentIndex: Pick<SentIndex, 'add'>;
  /** Messages could not be added, because of a bug. */
  readonly onError: (error: unknown) => void;
}

/**
 * Collects sent messages, and adds them to the index every second. A process that is killed loses
 * those of its last second: a bounce of one is unknown only if it arrives after RETAIN.
 */
export function startSentIndexWriter({
  events,
  sentIndex,
  onError,
}: SentIndexWriterOptions): SentIndexWriter {
  const waiting: SentMail[] = [];
  let timer: NodeJS.Timeout | undefined;
  let written: Promise<void> = Promise.resolve();

  async function write(): Promise<void> {
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
        scheduleWrite();
        return;
      }
    }
  }

  function writeAll(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    written = written.then(write);
    return written;
  }

  function scheduleWrite(): void {
    timer ??= setTimeout(writeAll, WRITE_EVERY_MS).unref();
  }

  function add(delivery: Delivery): void {
    const recipients = takenOf(delivery);
    if (delivery.test || recipients.length === 0) return;
    const { id, owner, account } = delivery;
    waiting.push({ id, owner, account, recipients });
    if (waiting.length > MAX_WAITING) waiting.shift();
    scheduleWrite();
  }

  events.on('message.settled', add);
  return {
    drain() {
      events.off('message.settled', add);
      return writeAll().finally(() => clearTimeout(timer));
    },
  };
}

/** Returns the recipients for which a server has accepted a message, or may have. */
function takenOf({ status, recipients }: Delivery): string[] {
  return recipients
    .filter((each) => each.status === 'accepted' || (each.status === 'pending' && status === 'uncertain'))
    .map(({ email }) => email);
}
