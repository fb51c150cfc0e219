import { setTimeout as sleep } from 'node:timers/promises';
import type { AccountResource } from '../../src/http/schemas/account.ts';
import type { MessageResource } from '../../src/http/schemas/message.ts';
import { type Clients, call, type Reply, startClients } from './clients.ts';
import { between, createRandom, type Random } from './random.ts';
import type { TestBed } from './test-bed.ts';
import {
  type Copy,
  type Evidence,
  findViolations,
  isUncertain,
  type Shown,
  type Tally,
  tallyOf,
} from './violations.ts';

/**
 * Maximum time until every message is settled. Far above any wait, including the lease of a dead
 * instance.
 */
const SETTLE_WITHIN_MS = 60_000;
/** Maximum time until every webhook call was accepted, including the lease of a dead instance. */
const TELL_WITHIN_MS = 20_000;
const POLL_MS = 200;
const READ_WITHIN_MS = 20_000;
/** Number of concurrent readers of the final state. */
const READERS = 8;

/** The result of one seed. */
export interface Report {
  readonly violations: readonly string[];
  readonly tally: Tally;
  /**
   * What the kills hit: stored messages that no client was acknowledged, attempts without an end,
   * second copies.
   */
  readonly unacknowledged: number;
  readonly uncertain: number;
  readonly duplicates: number;
}

/** Runs clients while the processes are killed and restarted. Resolves after the last restart. */
export async function runUnderFaults(testBed: TestBed, seed: string): Promise<Clients> {
  const random = createRandom(seed);
  const clients = startClients(testBed, seed);
  try {
    for (let left = between(random, 3, 5); left > 0; left--) await testBed.injectFault(random);
    return clients;
  } catch (error) {
    await clients.stop();
    throw error;
  }
}

/**
 * Waits until every message is settled, and compares the final state with the responses that
 * clients got.
 */
export async function settleAndReport(testBed: TestBed, clients: Clients, seed: string): Promise<Report> {
  const random = createRandom(`${seed} settling`);
  await clients.stop();
  const stuck = await unsettled(testBed, random);
  // The restart drops everything that was only in memory.
  await testBed.restart();
  const stuckAgain = await unsettled(testBed, random);
  return report(clients, await collect(testBed, clients, random), [...stuck, ...stuckAgain]);
}

function report({ asked, unexpected }: Clients, evidence: Evidence, stuck: readonly string[]): Report {
  const acknowledged = new Set(asked.flatMap(({ ids }) => [...ids]));
  const attempts = evidence.listed.flatMap((message) => message.attempts);
  return {
    violations: [...findViolations(evidence), ...unexpected, ...stuck],
    tally: tallyOf(evidence),
    unacknowledged: evidence.listed.filter(({ id }) => !acknowledged.has(id)).length,
    uncertain: attempts.filter(isUncertain).length,
    duplicates: evidence.copies.length - new Set(evidence.copies.map(({ messageId }) => messageId)).size,
  };
}

/** Waits until every message is settled. Returns a violation for each that is not in time. */
async function unsettled(testBed: TestBed, random: Random): Promise<string[]> {
  const until = performance.now() + SETTLE_WITHIN_MS;
  for (;;) {
    const { messages } = await page(testBed, random, 'status=scheduled,queued,sending,deferred&limit=100');
    if (messages.length === 0) return [];
    if (performance.now() > until)
      return messages.map(
        ({ id, status }) => `${id} is ${status} after ${SETTLE_WITHIN_MS} ms without a kill`,
      );
    await sleep(POLL_MS);
  }
}

async function collect(testBed: TestBed, { asked }: Clients, random: Random): Promise<Evidence> {
  const ids = [...new Set(asked.flatMap((one) => [...one.ids]))];
  const found = new Map<string, Shown>();
  const reader = async () => {
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
      const reply = await read(testBed, random, `/messages/${id}`);
      if (reply?.status === 200) found.set(id, reply.body as MessageResource);
      else if (reply?.status !== 404) throw new Error(`GET /messages/${id}: ${JSON.stringify(reply)}`);
    }
  };
  await Promise.all(Array.from({ length: READERS }, reader));
  const listed: Shown[] = [];
  for (let query: string | null = 'limit=100'; query !== null; ) {
    const { messages, next_cursor } = await page(testBed, random, query);
    listed.push(...messages);
    query = next_cursor && `limit=100&cursor=${encodeURIComponent(next_cursor)}`;
  }
  await webhooksDelivered(testBed, random);
  const { reported, accountEvents } = testBed.receiver;
  const { accounts } = await readOk<{ accounts: AccountResource[] }>(testBed, random, '/accounts');
  return {
    asked,
    found,
    listed,
    copies: testBed.gmail.messages.map(({ raw }) => toCopy(raw)),
    reported,
    accountEvents,
    isPaused: accounts.some(({ status }) => status === 'paused'),
  };
}

async function webhooksDelivered(testBed: TestBed, random: Random): Promise<void> {
  const until = performance.now() + TELL_WITHIN_MS;
  for (;;) {
    const path = '/webhooks/deliveries?status=waiting&limit=1';
    const { deliveries } = await readOk<{ deliveries: unknown[] }>(testBed, random, path);
    if (deliveries.length === 0 || performance.now() > until) return;
    await sleep(POLL_MS);
  }
}

/** Reads with retries on 503: right after a restart of every process, even Redis responds late. */
async function read(testBed: TestBed, random: Random, path: string): Promise<Reply | null> {
  const until = performance.now() + READ_WITHIN_MS;
  for (;;) {
    const reply = await call(testBed, random, path);
    if (reply?.status !== 503 || performance.now() > until) return reply;
    await sleep(POLL_MS);
  }
}

async function readOk<Body>(testBed: TestBed, random: Random, path: string): Promise<Body> {
  const reply = await read(testBed, random, path);
  if (reply?.status !== 200) throw new Error(`GET ${path}: ${JSON.stringify(reply)}`);
  return reply.body as Body;
}

function page(testBed: TestBed, random: Random, query: string) {
  type Page = { messages: MessageResource[]; next_cursor: string | null };
  return readOk<Page>(testBed, random, `/messages?${query}`);
}

function toCopy(raw: string): Copy {
  const header = (name: string) => new RegExp(`^${name}: (\\S+)`, 'im').exec(raw)?.[1] ?? '';
  return { label: header('Subject'), messageId: header('Message-ID'), raw };
}
