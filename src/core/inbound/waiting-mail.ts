import { setTimeout as delay } from 'node:timers/promises';
import type { Delivery } from '../delivery/delivery.ts';
import type { Events } from '../events.ts';
import type { SharedValue } from '../ports/shared-state.ts';
import { isUnavailable } from '../retry-until-available.ts';
import { SECOND } from '../time.ts';
import type { InboxPosition } from './inbox-position.ts';
import type { DecidedMail, MailHandler } from './mail-handler.ts';

/** What is stored of the inbox of an account: plain JSON. */
export interface StoredInbox {
  /** Null: it was never read. */
  position: InboxPosition | null;
  /** Mail about messages that have not settled. */
  waiting: DecidedMail[];
}

/** Maximum number of mails that wait. Further ones are not read before there is room. */
const MAX_WAITING = 200;
/** Another instance can settle a message without notifying this one. */
const RECHECK_MS = 10 * SECOND;

/** Mail about messages that have not settled. It is stored with the position of its inbox. */
export interface WaitingMails {
  /**
   * Records a mail, or stores it if its message has not settled. Mail about one message is recorded
   * in its order. Waits while too many mails wait; rejects if the signal is aborted meanwhile.
   *
   * @throws {AppError} `queue_unavailable`
   */
  record(mail: DecidedMail, signal: AbortSignal): Promise<void>;
  /** Records mail as its messages settle, until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
}

export interface WaitingMailsOptions {
  readonly state: SharedValue<StoredInbox>;
  readonly handler: Pick<MailHandler, 'record'>;
  readonly events: Events;
  /** Called for a mail that changes nothing. */
  readonly onIgnored: () => void;
  /** Multiplies the interval of checks: 1, or less in tests. */
  readonly backoffScale: number;
}

export function createWaitingMails({
  state,
  handler,
  events,
  onIgnored,
  backoffScale,
}: WaitingMailsOptions): WaitingMails {
  const recheckMs = RECHECK_MS * backoffScale;
  let isNeeded = new AbortController();

  /** Returns false if the message of a mail has not settled. */
  async function tryToRecord(mail: DecidedMail): Promise<boolean> {
    const recorded = await handler.record(mail);
    if (recorded === 'ignored') onIgnored();
    return recorded !== 'later';
  }

  /** Records what can be recorded. */
  async function recordAll(signal: AbortSignal): Promise<void> {
    const notYet = new Set<string>();
    for (const mail of [...state.value.waiting]) {
      if (signal.aborted) return;
      if (notYet.has(mail.id)) continue;
      try {
        if (await tryToRecord(mail)) await remove(mail);
        else notYet.add(mail.id);
      } catch (error) {
        if (isUnavailable(error)) return;
        // A mail that causes a bug must not stop those after it.
        events.emit('worker.failed', '', error);
        notYet.add(mail.id);
      }
    }
  }

  function remove(mail: DecidedMail): Promise<void> {
    return state.change(({ waiting }) => {
      const index = waiting.findIndex((each) => isSame(each, mail));
      if (index !== -1) waiting.splice(index, 1);
    });
  }

  function isWaitedFor(id: string): boolean {
    return state.value.waiting.some((mail) => mail.id === id);
  }

  function onSettled({ id }: Delivery): void {
    if (isWaitedFor(id)) isNeeded.abort();
  }

  async function add(mail: DecidedMail, signal: AbortSignal): Promise<void> {
    while (state.value.waiting.length >= MAX_WAITING) await delay(recheckMs, undefined, { signal });
    await state.change(({ waiting }) => {
      if (!waiting.some((each) => isSame(each, mail))) waiting.push(mail);
    });
    // Its message may have settled before the mail was stored.
    isNeeded.abort();
  }

  return {
    async record(mail, signal) {
      if (isWaitedFor(mail.id) || !(await tryToRecord(mail))) await add(mail, signal);
    },
    async run(signal) {
      events.on('message.settled', onSettled);
      while (!signal.aborted) {
        isNeeded = new AbortController();
        await recordAll(signal);
        const wakening = AbortSignal.any([signal, isNeeded.signal]);
        await delay(recheckMs, undefined, { signal: wakening }).catch(() => {});
      }
      events.off('message.settled', onSettled);
    },
  };
}

function isSame({ id, decision }: DecidedMail, other: DecidedMail): boolean {
  const { kind, mailId } = other.decision;
  return id === other.id && decision.kind === kind && decision.mailId === mailId;
}
