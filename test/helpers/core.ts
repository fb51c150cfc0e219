import { createArchiveInspector } from '../../src/adapters/archive/archive-inspector.ts';
import { createMemoryBackend } from '../../src/adapters/memory/index.ts';
import { createAccount } from '../../src/core/accounts/account.ts';
import { newAccountState } from '../../src/core/accounts/account-state.ts';
import { type AccountsOptions, createAccounts } from '../../src/core/accounts/accounts.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import type { Delivery } from '../../src/core/delivery/delivery.ts';
import type { Fault, Job, Outcome } from '../../src/core/delivery/outcome.ts';
import { createDeliveryChanges, type DeliveryChangesDeps } from '../../src/core/delivery-changes.ts';
import { createDispatcher } from '../../src/core/dispatch/dispatcher.ts';
import type { LookupRules } from '../../src/core/dispatch/lookup-rules.ts';
import type { OnUncertain } from '../../src/core/dispatch/retry-policy.ts';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import { createIntake, type IntakeDeps } from '../../src/core/intake/intake.ts';
import { createMailboxLease } from '../../src/core/mailbox/mailbox-lease.ts';
import { createMailboxes } from '../../src/core/mailbox/mailboxes.ts';
import type { Address } from '../../src/core/message/address.ts';
import { createMessages } from '../../src/core/messages.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import type { Mailbox, SentQuery, SentResult } from '../../src/core/ports/mailbox.ts';
import type { SharedValue } from '../../src/core/ports/shared-state.ts';
import type { AttemptObserver } from '../../src/core/ports/transport.ts';
import type { Allowance } from '../../src/core/quota.ts';
import { createReconciler } from '../../src/core/reconcile/reconciler.ts';
import { createReconciliation } from '../../src/core/reconcile/reconciliation.ts';
import { createSentSearch } from '../../src/core/reconcile/sent-search.ts';
import type { Wait } from '../../src/core/retry-until-available.ts';
import { createSuppressions } from '../../src/core/suppressions.ts';
import type { Usage } from '../../src/core/usage.ts';
import { createWaiters } from '../../src/core/waiters.ts';
import { aDraft } from './delivery.ts';
import { aCaller } from './keys.ts';

export const CALLER = aCaller();
export const AMPLE: Allowance = { messages: 1_000_000, recipients: 1_000_000, reserve: 0 };

/** Returns the outcome of an attempt in place of a transport. `user` is the account that sends. */
export type Send = (job: Job, user: string) => Promise<Outcome> | Outcome;

export interface CoreSetup {
  /** The accounts. The default From of each is its own address. */
  readonly senders?: readonly {
    user: string;
    aliases?: readonly string[];
    domains?: readonly string[];
    from?: Address;
  }[];
  readonly fromPolicy?: AccountsOptions['fromPolicy'];
  readonly allowance?: Allowance;
  readonly rate?: number;
  readonly workers?: number;
  readonly backend?: Backend;
  /** Whether attempts reach the message, or end before a session is ready. Default: true. */
  readonly login?: boolean;
  readonly backoffScale?: number;
  readonly retryForMs?: number;
  readonly retainMs?: number;
  readonly intake?: Partial<IntakeDeps>;
  /** Whether dispatchers make attempts. Otherwise messages stay queued. Default: true. */
  readonly dispatch?: boolean;
  /** Randomness of the back-off, from 0 to 1. Default: always 0.5. */
  readonly random?: () => number;
  /** Between two tries to persist a transition. Default: no time at all. */
  readonly wait?: Wait;
  readonly onUncertain?: OnUncertain;
  /** The notices of a delivery. Default: none. */
  readonly noticesOf?: DeliveryChangesDeps['noticesOf'];
  readonly verify?: (user: string) => Promise<Fault | null>;
  /** Searches Sent Mail of an account, in place of a mailbox. Default: the accounts have none. */
  readonly findSent?: FindSent;
  /** RECONCILE_FOR, in ms, before it is scaled by `backoffScale`. Default: ten minutes. */
  readonly lookForMs?: number;
}

export type FindSent = (
  query: SentQuery,
  user: string,
  signal: AbortSignal,
) => Promise<SentResult> | SentResult;

export type Core = ReturnType<typeof startCore>;

/**
 * Starts core with its real modules and the memory backend, and with transports that the test
 * controls.
 * Close it with `await using`.
 */
export function startCore(send: Send, setup: CoreSetup = {}) {
  const {
    senders = [{ user: 'bot@acme.com' }],
    fromPolicy = 'reject',
    allowance = AMPLE,
    workers = 1,
    backend = aBackend(setup.retainMs),
    login = true,
    backoffScale = 0.0005,
    retryForMs = 10_000,
    dispatch = true,
    random = () => 0.5,
    wait = async () => {},
    findSent,
  } = setup;
  const { queue, store, sharedState } = backend;
  const events = createEvents().setMaxListeners(0);
  const changes = createDeliveryChanges({ events, noticesOf: setup.noticesOf ?? (() => []) });
  const jobs: (Job & { readonly user: string })[] = [];
  const failures: unknown[] = [];
  events.on('worker.failed', (_id, error) => failures.push(error));

  const members = senders.map(({ user, aliases = [], domains = [], from = { email: user, name: null } }) => {
    const account = createAccount(user, {
      events,
      backoffScale,
      connections: workers,
      connectionsHere: workers,
      allowance,
      rate: setup.rate ?? null,
      sharedState,
      state: aSharedValue(newAccountState(sharedState.now())),
      closeIdleConnections: () => 0,
      mailbox: findSent ? 'on' : 'none',
    });
    const transport = {
      async send(job: Job, watch?: AttemptObserver) {
        if (login) {
          watch?.messageStarted();
          watch?.envelopeAccepted();
        }
        jobs.push({ ...job, user });
        return send(job, user);
      },
      verify: () => setup.verify?.(user) ?? Promise.resolve(null),
    };
    const mailbox: Mailbox | null = findSent
      ? { findSent: async (query, signal) => findSent(query, user, signal), close: async () => {} }
      : null;
    return { account, transport, mailbox, from, aliases, domains };
  });
  const accounts = createAccounts({ senders: members, sandbox: () => null, fromPolicy, queue, store });
  const policy = {
    retryForMs,
    onUncertain: setup.onUncertain ?? 'retry',
    backoffScale: backoffScale * 2,
    random,
  } as const;
  const mailboxes = createMailboxes(members);
  const lookups: LookupRules = {
    isPossible: mailboxes.canLook,
    refusalOf: mailboxes.refusalOf,
    now: sharedState.now,
    forMs: setup.lookForMs ?? 600_000,
  };
  const shared = { queue, store, events, changes, policy, lookups, wait };
  const dispatchers = members.flatMap(({ account, transport }) => {
    const { user } = account;
    const search = createSentSearch({
      user,
      isOn: findSent !== undefined,
      mailboxes,
      backoffScale: policy.backoffScale,
    });
    const lease = createMailboxLease({ user, sharedState, absentAfterMs: 1000 });
    return [
      createDispatcher({ ...shared, accounts, account, transport, workers }),
      createReconciler({ ...shared, user, search, lease }),
    ];
  });
  let draining = false;
  const composer = {
    compose: async () => ({ size: 1, headers: [] }),
    typeOf: () => 'application/octet-stream',
  };
  const inspector = createArchiveInspector();
  const isDraining = () => draining;
  const suppressions = createSuppressions({
    store: backend.suppressions,
    events,
    suppressRefused: true,
    onError: (error) => failures.push(error),
  });
  const intake = createIntake({
    store,
    events,
    accounts,
    apiKeys: createApiKeys([], sharedState),
    suppressions,
    templates: NO_TEMPLATES,
    composer,
    inspector,
    allowedRecipients: null,
    redirectAllTo: null,
    maxMessageBytes: 1e6,
    isDraining,
    ...setup.intake,
  });
  const messages = createMessages({ store, changes, isDraining });
  const { now } = sharedState;
  const reconciliation = createReconciliation({ store, messages, mailboxes, isOn: true, isDraining, now });
  const waiters = createWaiters({ store, events });
  for (const { account } of members) void account.join();
  if (dispatch) for (const dispatcher of dispatchers) dispatcher.start();
  const drain = () => Promise.all(dispatchers.map((dispatcher) => dispatcher.drain()));

  return {
    jobs,
    failures,
    drain,
    waiters,
    intake,
    messages,
    reconciliation,
    mailboxes,
    suppressions,
    queue,
    senders: members,
    accounts,
    events,
    changes,
    store,
    startDraining: () => (draining = true),
    accept: (patch: Parameters<typeof aDraft>[0] = {}) =>
      intake.accept(aDraft(patch), { caller: CALLER, requestId: 'req_1', trace: null }),
    async outcomeOf(id: string): Promise<Delivery> {
      for (;;) {
        const delivery = await store.get(id);
        if (!delivery) throw new Error(`${id} does not exist`);
        if (delivery.finishedAt !== null) return delivery;
        await new Promise((resolve) => events.once('message.settled', resolve));
      }
    },
    async [Symbol.asyncDispose]() {
      await drain();
      await backend.close();
    },
  };
}

/** A shared value in memory. */
export function aSharedValue<Value>(value: Value, usage: Usage = []): SharedValue<Value> {
  return { value, usage, read: async () => value, change: async (edit) => edit(value, usage, []) };
}

export const NO_TEMPLATES = {
  list: () => [],
  render(): never {
    throw new AppError('template_not_found');
  },
};

export function aBackend(retainMs = 10_000): Backend {
  return createMemoryBackend({ maxMessages: 20_000, maxBytes: 1e8, retainMs, onEarlyDrop() {} });
}
