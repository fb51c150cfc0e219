import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  advance,
  type Delivery,
  isSettled,
  STATUSES,
  type Status,
} from '../../src/core/delivery/delivery.ts';
import {
  comparePositions,
  type DeliveryQuery,
  matchesQuery,
} from '../../src/core/delivery/delivery-query.ts';
import { applyInbound } from '../../src/core/inbound/apply.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import type { DeliveryStore } from '../../src/core/ports/delivery-store.ts';
import { aDelivery, anAttempt } from '../helpers/delivery.ts';
import { aBounce, aReported } from '../helpers/inbound.ts';
import type { BackendLimits } from './backend-contract.ts';

const LIMITS: BackendLimits = { maxMessages: 1000, maxBytes: 1e7, retainMs: 600_000 };
/** More than one page of each backend. */
const COUNT = 400;
/** Few times, so that many deliveries have the same one. */
const TIMES = 150;
/** Maximum number of pages that are read of each list. */
const PAGES = 12;

/** Changes that lead from the first status to another. */
const WAYS: Readonly<Record<Status, readonly Status[]>> = {
  scheduled: [],
  queued: [],
  sending: ['sending'],
  deferred: ['deferred'],
  sent: ['sending', 'sent'],
  partially_sent: ['sending', 'partially_sent'],
  failed: ['sending', 'deferred', 'failed'],
  uncertain: ['sending', 'uncertain', 'queued', 'sending', 'uncertain'],
  canceled: ['canceled'],
  expired: ['expired'],
};

const rarely = <Value>(common: Value, ...rare: readonly Value[]) =>
  fc.oneof({ weight: 40, arbitrary: fc.constant(common) }, ...rare.map((value) => fc.constant(value)));
const tags = rarely<Record<string, string>>({ flow: 'a' }, {}, { flow: 'b' }, { region: 'eu', flow: 'a' });
const emails = rarely('ada@example.com', 'Bob@Example.com', 'grace@example.com');
const owners = rarely('crm', 'shop', 'billing');
interface Seed extends Pick<Delivery, 'owner' | 'tags' | 'createdAt' | 'scheduledAt'> {
  readonly emails: readonly string[];
  readonly bounces: boolean;
}
const seeds: fc.Arbitrary<Seed> = fc.record({
  owner: owners,
  tags,
  emails: fc.array(emails, { minLength: 1, maxLength: 2 }),
  bounces: rarely(false, true),
  createdAt: fc.nat(TIMES),
  scheduledAt: fc.option(fc.nat(3 * TIMES)),
});
const deliveries = fc
  .tuple(fc.constantFrom(...STATUSES), fc.constantFrom(...STATUSES))
  .chain(([common, other]) =>
    fc.array(fc.tuple(seeds, rarely(common, other, ...STATUSES)), { minLength: COUNT, maxLength: COUNT }),
  );

const optional = <Value>(arbitrary: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });
type Query = Omit<DeliveryQuery, 'after'>;
const queries: fc.Arbitrary<Query> = fc.record({
  owner: optional(fc.constantFrom('crm', 'shop', 'nobody')),
  statuses: optional(fc.uniqueArray(fc.constantFrom(...STATUSES), { minLength: 1, maxLength: 3 })),
  bounced: optional(fc.boolean()),
  waitingAt: optional(fc.nat(3 * TIMES)),
  tag: optional(fc.constantFrom('flow', 'flow:a', 'flow:b', 'region:eu', 'none')),
  recipient: optional(fc.constantFrom('ada@example.com', 'bob@example.com', 'none@example.com')),
  createdAfter: optional(fc.nat(TIMES)),
  createdBefore: optional(fc.nat(TIMES)),
  limit: fc.constantFrom(1, 7, 100),
});
const manyQueries = fc.array(queries, { minLength: 40, maxLength: 40 });

/** Tests that every backend lists what matches a query, and nothing else. */
export function listContract(name: string, open: (limits: BackendLimits) => Promise<Backend>): void {
  describe(`the lists of ${name}`, () => {
    test('have every match of random filters in order, on pages of any size', async () => {
      const property = fc.asyncProperty(deliveries, manyQueries, async (wanted, all) => {
        const { store, close } = await open(LIMITS);
        try {
          const stored = await fill(store, wanted);
          for (const query of all) {
            const expected = matchesOf(stored, query).slice(0, PAGES * query.limit);
            expect(await readPages(store, query), JSON.stringify(query)).toEqual(expected);
          }
        } finally {
          await close();
        }
      });
      await fc.assert(property, { numRuns: 6, endOnFailure: true });
    }, 60_000);
  });
}

/** Returns the ids of all deliveries that match, in order. */
function matchesOf(stored: readonly Delivery[], query: Query): string[] {
  return stored
    .filter((delivery) => matchesQuery(delivery, { ...query, after: null }))
    .sort((a, b) => (query.waitingAt === null ? comparePositions(b, a) : comparePositions(a, b)))
    .map(({ id }) => id);
}

const bounceOf = ({ recipients }: Delivery) =>
  aBounce({ recipients: recipients.slice(0, 1).map(({ email }) => aReported({ email })) });

/**
 * Stores deliveries and changes them until they have the wanted status. Some bounce whenever they
 * settle, also before they are retried.
 */
async function fill(
  store: DeliveryStore,
  wanted: readonly (readonly [seed: Seed, status: Status])[],
): Promise<Delivery[]> {
  return Promise.all(
    wanted.map(async ([{ emails: to, bounces, scheduledAt, ...seed }, status]) => {
      const recipients = to.map((email) => ({ email, status: 'pending', smtp: null }) as const);
      const isScheduled = status === 'scheduled';
      let delivery = aDelivery({
        ...seed,
        recipients,
        attempts: [anAttempt()],
        status: isScheduled ? 'scheduled' : 'queued',
        scheduledAt: isScheduled ? (scheduledAt ?? TIMES) : scheduledAt,
      });
      await store.insert(delivery);
      for (const next of WAYS[status]) {
        const changed = advance(delivery, next, isSettled(next) ? { finishedAt: Date.now() } : {});
        expect(await store.update(delivery, changed)).toBe(true);
        delivery = changed;
        const applied = bounces && isSettled(next) ? applyInbound(delivery, bounceOf(delivery)) : null;
        if (applied === null) continue;
        expect(await store.update(delivery, applied.delivery)).toBe(true);
        delivery = applied.delivery;
      }
      return delivery;
    }),
  );
}

/** Reads pages, each after the last position of the one before. Returns the ids. */
async function readPages(store: DeliveryStore, query: Query): Promise<string[]> {
  const ids: string[] = [];
  let after: DeliveryQuery['after'] = null;
  for (let page = 0; page < PAGES; page += 1) {
    const found: readonly Delivery[] = await store.list({ ...query, after });
    ids.push(...found.map(({ id }) => id));
    const last = found.at(-1);
    if (!last || found.length < query.limit) break;
    after = { createdAt: last.createdAt, id: last.id };
  }
  return ids;
}
