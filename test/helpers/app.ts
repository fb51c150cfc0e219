import { connect } from 'node:net';
import { Writable } from 'node:stream';
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import { pino } from 'pino';
import { createMemoryIdempotency } from '../../src/adapters/memory/idempotency.ts';
import { createMemoryRateCounter } from '../../src/adapters/memory/rate-counter.ts';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import type { Caller } from '../../src/core/auth/caller.ts';
import { createTickets } from '../../src/core/auth/tickets.ts';
import type { Delivery } from '../../src/core/delivery/delivery.ts';
import { AppError } from '../../src/core/errors.ts';
import type { Draft } from '../../src/core/message/message.ts';
import { createMessages } from '../../src/core/messages.ts';
import type { Composer } from '../../src/core/ports/composer.ts';
import type { IdempotencyStore } from '../../src/core/ports/idempotency-store.ts';
import type { Templates } from '../../src/core/ports/templates.ts';
import { createStats } from '../../src/core/stats.ts';
import { type AppOptions, buildApp } from '../../src/http/app.ts';
import { NO_TEMPLATES, startCore } from './core.ts';
import { aDelivery } from './delivery.ts';
import { aKey } from './keys.ts';

export const CRM_SECRET = 'crm-secret-0123456789-abcdefghij';
export const SHOP_SECRET = 'shop-secret-0123456789-abcdefgh';
export const ADMIN_SECRET = 'boss-secret-0123456789-abcdefgh';

const DEFAULT_FROM = { email: 'no-reply@acme.com', name: 'Acme' };
const MAX_MESSAGE_BYTES = 35_882_577;

/** The default API keys of an app under test. */
export const KEYS = [
  aKey(CRM_SECRET, { name: 'crm' }),
  aKey(SHOP_SECRET, { name: 'shop' }),
  aKey(ADMIN_SECRET, { name: 'boss', scopes: ['admin'] }),
];

const API_KEYS = createApiKeys(KEYS, createMemorySharedState());

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
  /** The accepted messages, in order. */
  readonly accepted: readonly Accepted[];
  /** Every log line so far. */
  readonly logs: readonly Record<string, unknown>[];
  /** The ids that requests are waiting for. */
  readonly waiting: ReadonlySet<string>;
  /** Stores a delivery, in place of any with the same id. */
  keep(delivery: Delivery): Delivery;
  /** Stores a delivery as settled, with this patch, and ends the wait for it. */
  settle(id: string, patch: Partial<Delivery>): void;
  /** Ends the wait for a delivery without an outcome, as when its account is paused. */
  letGo(id: string): void;
  inject(options: InjectOptions): Promise<LightMyRequestResponse>;
  /** POST /send with a valid key. */
  send(body: unknown, headers?: Record<string, string>): Promise<LightMyRequestResponse>;
  get(url: string, headers?: Record<string, string>): Promise<LightMyRequestResponse>;
  /** Starts listening; resolves with the base URL. */
  listen(): Promise<string>;
}

/**
 * Starts the HTTP layer over `startCore`: a real intake, store, waiters and suppressions in memory,
 * and accounts that own every address. No attempt is made, so a message stays queued until
 * `settle`.
 */
export async function startApp(overrides: Partial<AppOptions> = {}): Promise<AppUnderTest> {
  const accepted: Accepted[] = [];
  const waiting = new Map<string, AbortController>();
  const logs: Record<string, unknown>[] = [];
  const core = startCore(never, {
    senders: [{ user: 'bot@acme.com', from: DEFAULT_FROM }],
    fromPolicy: 'allow',
    dispatch: false,
    intake: {
      templates: overrides.templates ?? ANY_TEMPLATE,
      composer: COMPOSER,
      maxMessageBytes: MAX_MESSAGE_BYTES,
    },
  });
  const { store, events } = core;

  async function put(delivery: Delivery): Promise<void> {
    const current = await store.get(delivery.id);
    if (current) await store.update(current, delivery);
    else await store.insert(delivery);
  }

  const app = await buildApp({
    logger: pino({ base: null, level: 'debug' }, collectLines(logs)),
    version: '1.2.3',
    page: null,
    apiKeys: API_KEYS,
    rateLimit: { max: 10_000, windowMs: 60_000 },
    rates: createMemoryRateCounter(),
    trustProxy: [],
    maxMessageBytes: MAX_MESSAGE_BYTES,
    freeBytes: () => 256 * 1024 * 1024,
    isSending: () => false,
    accounts: {
      defaultFrom: DEFAULT_FROM,
      budget: () => ({ limit: 2000, left: 1999, freesAt: Date.now() + 3_600_000 }),
      list: async () => [],
      verify: async (user) => {
        throw new AppError('not_found', { detail: `There is no ${user}.` });
      },
    },
    doctor: {
      read: async () => ({ ok: true, version: '1.2.3', first: null, checks: [], madeAt: Date.now() }),
    },
    durability: 'memory',
    intake: {
      ...core.intake,
      async accept(draft, origin, id) {
        const delivery = await core.intake.accept(draft, origin, id);
        accepted.push({ draft, caller: origin.caller, delivery });
        return delivery;
      },
    },
    waiters: {
      wait(id, ms, signal, options) {
        const release = new AbortController();
        waiting.set(id, release);
        const either = AbortSignal.any([signal, release.signal]);
        return core.waiters.wait(id, ms, either, options).finally(() => waiting.delete(id));
      },
    },
    store,
    messages: createMessages({
      store: { ...store, ...overrides.store },
      changes: core.changes,
      isDraining: overrides.isDraining ?? (() => false),
    }),
    reconciliation: core.reconciliation,
    composer: COMPOSER,
    tickets: createTickets(API_KEYS),
    stats: createStats({ store }),
    suppressions: core.suppressions,
    templates: NO_TEMPLATES,
    webhookDeliveries: {
      list: async () => [],
      async replay() {
        throw new AppError('not_found');
      },
    },
    sharedNow: Date.now,
    endpointTests: {
      async run() {
        throw new AppError('not_found');
      },
    },
    toText: async (html) => html,
    idempotency: createLedger(),
    isDraining: () => false,
    metrics: { metrics: { contentType: 'text/plain', read: async () => '' }, isOpen: false },
    demoInbox: null,
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
      void put(delivery);
      return delivery;
    },
    settle(id, patch) {
      void (async () => {
        const delivery = (await store.get(id)) ?? aDelivery({ id });
        const settled = { ...delivery, content: null, finishedAt: Date.now(), ...patch };
        await put(delivery);
        await put(settled);
        events.emit('message.settled', settled);
      })();
    },
    letGo: (id) => waiting.get(id)?.abort(),
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
      core.waiters.release();
      app.server.closeAllConnections();
      await app.close();
      await core[Symbol.asyncDispose]();
    },
  };
}

/** Renders every id to the same text. */
const ANY_TEMPLATE: Pick<Templates, 'render'> = {
  render: () => ({ subject: 'Hello', html: null, text: 'Hello.' }),
};

/** Stands in for encoding: the size is not under test here. */
const COMPOSER: Composer = {
  compose: async ({ envelope }) => ({ size: 1234, headers: [{ name: 'Subject', value: envelope.subject }] }),
  typeOf: () => 'application/octet-stream',
};

async function never(): Promise<never> {
  throw new Error('no attempts in tests of HTTP');
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

/** The idempotency store of the memory backend. */
export function createLedger(): IdempotencyStore {
  const bounds = { forMs: 60_000, maxCount: 1000, maxBytes: 1e7, onEarlyDrop() {} };
  return createMemoryIdempotency({ claims: bounds, responses: bounds });
}

/**
 * Sends bytes over a new connection. Resolves with everything received once the server closes it.
 */
export async function exchange(url: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString('latin1');
}
