import { connect } from 'node:net';
import { Writable } from 'node:stream';
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import { pino } from 'pino';
import { createMemoryIdempotency } from '../../src/adapters/memory/idempotency.ts';
import { createMemoryRateCounter } from '../../src/adapters/memory/rate-counter.ts';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import type { Caller } from '../../src/core/auth/caller.ts';
import type { Delivery } from '../../src/core/delivery/delivery.ts';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import { type Draft, recipientsOf } from '../../src/core/message/message.ts';
import { checkSchedule } from '../../src/core/message/schedule.ts';
import { createMessages } from '../../src/core/messages.ts';
import type { IdempotencyStore } from '../../src/core/ports/idempotency-store.ts';
import { type AppOptions, buildApp } from '../../src/http/app.ts';
import { NO_TEMPLATES } from './core.ts';
import { aDelivery } from './delivery.ts';
import { aKey } from './keys.ts';

export const CRM_SECRET = 'crm-secret-0123456789-abcdefghij';
export const SHOP_SECRET = 'shop-secret-0123456789-abcdefgh';
export const ADMIN_SECRET = 'boss-secret-0123456789-abcdefgh';

/** Those of an app under test, unless it is given others. */
export const KEYS = [
  aKey(CRM_SECRET, { name: 'crm' }),
  aKey(SHOP_SECRET, { name: 'shop' }),
  aKey(ADMIN_SECRET, { name: 'boss', scopes: ['admin'] }),
];

export const CRM = { authorization: `Bearer ${CRM_SECRET}` };
export const SHOP = { authorization: `Bearer ${SHOP_SECRET}` };
export const ADMIN = { authorization: `Bearer ${ADMIN_SECRET}` };

/** The smallest request that is accepted. */
export const MAIL = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };

export interface Accepted {
  readonly draft: Draft;
  readonly caller: Caller;
  readonly delivery: Delivery;
}

export interface AppUnderTest extends AsyncDisposable {
  readonly app: FastifyInstance;
  /** What the intake took, in order. */
  readonly accepted: readonly Accepted[];
  /** Every log line so far. */
  readonly logs: readonly Record<string, unknown>[];
  /** The ids that a request waits for now. */
  readonly waiting: ReadonlySet<string>;
  /** Puts a delivery into the store. */
  keep(delivery: Delivery): Delivery;
  /** Changes a delivery and ends the wait for it. */
  settle(id: string, patch: Partial<Delivery>): void;
  /** Ends the wait for a delivery without news, as when its sender is paused. */
  letGo(id: string): void;
  inject(options: InjectOptions): Promise<LightMyRequestResponse>;
  /** POST /send with a good key. */
  send(body: unknown, headers?: Record<string, string>): Promise<LightMyRequestResponse>;
  get(url: string, headers?: Record<string, string>): Promise<LightMyRequestResponse>;
  /** Starts listening; resolves with the base URL. */
  listen(): Promise<string>;
}

/** The HTTP layer over a fake core in memory. */
export async function startApp(overrides: Partial<AppOptions> = {}): Promise<AppUnderTest> {
  const accepted: Accepted[] = [];
  const deliveries = new Map<string, Delivery>();
  const waiting = new Map<string, (delivery: Delivery | null) => void>();
  const logs: Record<string, unknown>[] = [];

  const store = {
    get: async (id: string) => deliveries.get(id) ?? null,
    tombstone: async () => null,
    list: async () => [...deliveries.values()].reverse(),
    async update(from: Delivery, to: Delivery) {
      const isCurrent = deliveries.get(from.id)?.revision === from.revision;
      if (isCurrent) deliveries.set(to.id, to);
      return isCurrent;
    },
    refusalCode: () => null,
  };

  function toDelivery(
    { template: _, ...message }: Draft,
    caller: Caller,
    patch: Partial<Delivery> = {},
  ): Delivery {
    const status = message.scheduledAt === null ? 'queued' : 'scheduled';
    const recipients = recipientsOf(message.envelope).map(
      (email) => ({ email, status: 'pending', smtp: null }) as const,
    );
    return aDelivery({ ...message, owner: caller.name, status, recipients, ...patch });
  }

  const app = await buildApp({
    logger: pino({ base: null, level: 'debug' }, collectLines(logs)),
    version: '1.2.3',
    apiKeys: createApiKeys(KEYS, createMemorySharedState()),
    rateLimit: { max: 10_000, windowMs: 60_000 },
    rates: createMemoryRateCounter(),
    trustProxy: [],
    maxMessageBytes: 35_882_577,
    freeBytes: () => 256 * 1024 * 1024,
    accounts: {
      defaultFrom: { email: 'no-reply@acme.com', name: 'Acme' },
      budget: () => ({ limit: 2000, left: 1999, freesAt: Date.now() + 3_600_000 }),
      list: async () => [],
      verify: async (user) => {
        throw new AppError('not_found', { detail: `There is no ${user}.` });
      },
    },
    durability: 'memory',
    intake: {
      async accept(draft, caller, _requestId, id) {
        checkSchedule(draft);
        const delivery = toDelivery(draft, caller, id === undefined ? {} : { id });
        accepted.push({ draft, caller, delivery });
        deliveries.set(delivery.id, delivery);
        return delivery;
      },
      check: async (draft) => checkSchedule(draft),
      async preview(draft, caller) {
        checkSchedule(draft);
        return {
          delivery: toDelivery(draft, caller),
          composed: { size: 1234, headers: [{ name: 'Subject', value: draft.envelope.subject }] },
        };
      },
    },
    waiters: {
      wait(id, _ms, signal) {
        const { promise, resolve } = Promise.withResolvers<Delivery | null>();
        waiting.set(id, resolve);
        signal.addEventListener('abort', () => resolve(null));
        return promise.finally(() => waiting.delete(id));
      },
    },
    store,
    messages: createMessages({
      store: { ...store, ...overrides.store },
      queue: { async push() {}, async done() {}, async reschedule() {} },
      events: createEvents(),
      isDraining: overrides.isDraining ?? (() => false),
    }),
    suppressions: { get: async () => null, list: async () => [], add: never, remove: async () => false },
    templates: NO_TEMPLATES,
    toText: String,
    idempotency: createLedger(),
    isDraining: () => false,
    ...overrides,
  });

  return {
    app,
    accepted,
    logs,
    get waiting() {
      return new Set(waiting.keys());
    },
    keep(delivery) {
      deliveries.set(delivery.id, delivery);
      return delivery;
    },
    settle(id, patch) {
      const delivery = {
        ...(deliveries.get(id) ?? aDelivery({ id })),
        content: null,
        finishedAt: Date.now(),
        ...patch,
      };
      deliveries.set(id, delivery);
      waiting.get(id)?.(delivery);
    },
    letGo: (id) => waiting.get(id)?.(null),
    inject: (options) => app.inject(options),
    send: (body, headers = {}) =>
      app.inject({
        method: 'POST',
        url: '/send',
        headers: { ...CRM, 'content-type': 'application/json', ...headers },
        body: toText(body),
      }),
    get: (url, headers = CRM) => app.inject({ method: 'GET', url, headers }),
    listen: () => app.listen({ host: '127.0.0.1', port: 0 }),
    async [Symbol.asyncDispose]() {
      for (const release of waiting.values()) release(null);
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

async function never(): Promise<never> {
  throw new Error('Not in this test');
}

function toText(body: unknown): string | Buffer {
  return typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
}

function collectLines(lines: Record<string, unknown>[]): Writable {
  return new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
}

/** The ledger of the memory backend: one that is away or slow is made of it. */
export function createLedger(): IdempotencyStore {
  const bounds = { forMs: 60_000, maxCount: 1000, maxBytes: 1e7, onEarlyDrop() {} };
  return createMemoryIdempotency({ claims: bounds, responses: bounds });
}

/** Sends bytes over a connection of its own; resolves with all that came back when the server has closed it. */
export async function exchange(url: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString('latin1');
}
