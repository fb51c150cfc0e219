import { setTimeout as delay } from 'node:timers/promises';
import type { Events } from '../events.ts';
import type { MailboxLease } from '../mailbox/mailbox-lease.ts';
import type { Inbox } from '../ports/inbox.ts';
import type { MailboxFault } from '../ports/mailbox.ts';
import type { SharedState, SharedValue } from '../ports/shared-state.ts';
import { isUnavailable } from '../retry-until-available.ts';
import { SECOND } from '../time.ts';
import type { InboundMail } from './inbound-mail.ts';
import type { InboxPosition } from './inbox-position.ts';
import type { MailHandler } from './mail-handler.ts';
import { createWaitingMails, type StoredInbox } from './waiting-mail.ts';

/** Delay before the inbox is followed again after the backend failed. */
const AFTER_FAILURE_MS = SECOND;

/**
 * Follows the inbox of one account, and records the bounces and the replies in it. Of several
 * instances, the one that holds the mailbox does.
 */
export interface InboxFollower {
  start(): void;
  /** Connects again, since the login has changed. */
  reconnect(): void;
  /** Connects again if the last login was refused, since the cause may be gone. */
  retryRefused(): void;
  /** Closes the connection. Resolves when what is being recorded is stored. */
  drain(): Promise<void>;
}

export interface InboxFollowerOptions {
  readonly user: string;
  /** Addresses that the account sends from at present. */
  readonly ownAddresses: () => readonly string[];
  readonly inbox: Inbox;
  readonly lease: MailboxLease;
  readonly sharedState: SharedState;
  readonly handler: MailHandler;
  readonly events: Events;
  /** Records for the account whether the inbox can be read. */
  readonly recordLook: (fault: MailboxFault | null) => void;
  /** Multiplies every wait: 1, or less in tests. */
  readonly backoffScale: number;
}

export function createInboxFollower(options: InboxFollowerOptions): InboxFollower {
  const { user, ownAddresses, inbox, lease, sharedState, handler, events, recordLook, backoffScale } =
    options;
  const draining = new AbortController();
  let turn = new AbortController();
  let state: SharedValue<StoredInbox> | null = null;
  let running: Promise<void> = Promise.resolve();
  /** Null: the inbox could be read. Undefined: neither is known. */
  let lastFault: MailboxFault | null | undefined;

  async function run(): Promise<void> {
    const { signal } = draining;
    while (!signal.aborted) {
      try {
        await followWhileHeld(signal);
      } catch (error) {
        if (!isUnavailable(error)) events.emit('worker.failed', '', error);
        await delay(AFTER_FAILURE_MS * backoffScale, undefined, { signal }).catch(() => {});
      }
    }
  }

  /** Follows the inbox from the moment at which this instance gets the mailbox until it loses it. */
  async function followWhileHeld(signal: AbortSignal): Promise<void> {
    await lease.waitUntilFree(signal);
    if (signal.aborted || !(await lease.acquire())) return;
    state ??= await sharedState.open<StoredInbox>(`inbox:${user}`, () => ({ position: null, waiting: [] }));
    // Another instance may have read on meanwhile.
    await state.read();
    turn = new AbortController();
    await follow(state, AbortSignal.any([signal, turn.signal]));
  }

  async function follow(inboxState: SharedValue<StoredInbox>, ended: AbortSignal): Promise<void> {
    const waiting = createWaitingMails({
      state: inboxState,
      handler,
      events,
      onIgnored: () => events.emit('inbox.ignored', user, 'no_change'),
      backoffScale,
    });
    const recording = waiting.run(ended);
    let writing: Promise<unknown> = Promise.resolve();

    /** Writes nothing once the turn has ended: another instance may follow the inbox then. */
    function write<Result>(run: () => Promise<Result>): Promise<Result> {
      ended.throwIfAborted();
      const result = run();
      writing = result.catch(() => {});
      return result;
    }

    async function handle(mail: InboundMail, receivedAt: number): Promise<void> {
      try {
        const decided = await handler.decide(mail, ownAddresses(), receivedAt);
        if (decided.kind === 'ignored') events.emit('inbox.ignored', user, decided.reason);
        else for (const each of decided.mails) await waiting.record(each, ended);
      } catch (error) {
        if (isUnavailable(error) || ended.aborted) throw error;
        // A mail that causes a bug must not stop those after it.
        events.emit('worker.failed', '', error);
      }
    }

    const watch = inbox.watch({
      loadPosition: async () => inboxState.value.position,
      savePosition: async (position) => write(() => save(inboxState, position)),
      onMail: async (mail, receivedAt) => write(() => handle(mail, receivedAt)),
      onUnreadable: () => events.emit('inbox.ignored', user, 'unreadable'),
      onFault(fault) {
        // What fails because the turn has ended says nothing of the mailbox.
        if (!ended.aborted) report(fault);
      },
    });
    await lease.waitUntilLost(ended);
    turn.abort();
    await Promise.all([watch.close(), recording]);
    await writing;
  }

  function report(fault: MailboxFault | null): void {
    recordLook(fault);
    const isNews = lastFault === undefined || lastFault?.code !== fault?.code;
    lastFault = fault;
    if (!isNews) return;
    if (fault) events.emit('inbox.failed', user, fault);
    else events.emit('inbox.watched', user);
  }

  return {
    start() {
      running = run();
    },
    reconnect: () => turn.abort(),
    retryRefused() {
      if (lastFault?.isRefusal) turn.abort();
    },
    async drain() {
      draining.abort();
      await running;
    },
  };
}

function save(state: SharedValue<StoredInbox>, position: InboxPosition): Promise<void> {
  return state.change((stored) => {
    stored.position = position;
  });
}
