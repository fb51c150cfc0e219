import { setTimeout as sleep } from 'node:timers/promises';
import type { MessageResource } from '../../src/http/schemas/message.ts';
import { type Crowd, call, type Reply, startClients } from './clients.ts';
import { between, createRandom, type Random } from './random.ts';
import {
  type Copy,
  type Evidence,
  findViolations,
  isUncertain,
  type Shown,
  type Tally,
  tallyOf,
} from './verdict.ts';
import type { World } from './world.ts';

/** Long after all that waits is due, also what an instance held that has died. */
const SETTLE_WITHIN_MS = 60_000;
const POLL_MS = 200;
const READ_WITHIN_MS = 20_000;
/** How many ask at once for what became of it all. */
const READERS = 8;

/** What came of one seed. */
export interface Report {
  readonly violations: readonly string[];
  readonly tally: Tally;
  /** How often the kills hit something: messages that are kept, but whose caller was never told; attempts without an end; second copies. */
  readonly untold: number;
  readonly uncertain: number;
  readonly duplicates: number;
}

/** Clients call while what they call falls down and gets up again. Resolves when that is over. */
export async function weather(world: World, seed: string): Promise<Crowd> {
  const random = createRandom(seed);
  const crowd = startClients(world, seed);
  try {
    for (let left = between(random, 3, 5); left > 0; left--) await world.strike(random);
    return crowd;
  } catch (error) {
    await crowd.stop();
    throw error;
  }
}

/** Waits until all has come to rest, and counts. */
export async function reckon(world: World, crowd: Crowd, seed: string): Promise<Report> {
  const random = createRandom(`${seed} reckoning`);
  await crowd.stop();
  const stuck = await unsettled(world, random);
  // What is told from memory, and was never kept, is gone now.
  await world.restart();
  const stuckAgain = await unsettled(world, random);
  return report(crowd, await collect(world, crowd, random), [...stuck, ...stuckAgain]);
}

function report({ asked, strange }: Crowd, evidence: Evidence, stuck: readonly string[]): Report {
  const told = new Set(asked.flatMap(({ ids }) => [...ids]));
  const attempts = evidence.listed.flatMap((message) => message.attempts);
  return {
    violations: [...findViolations(evidence), ...strange, ...stuck],
    tally: tallyOf(evidence),
    untold: evidence.listed.filter(({ id }) => !told.has(id)).length,
    uncertain: attempts.filter(isUncertain).length,
    duplicates: evidence.copies.length - new Set(evidence.copies.map(({ messageId }) => messageId)).size,
  };
}

/** Waits until nothing waits any more. Answers what still does when that takes too long. */
async function unsettled(world: World, random: Random): Promise<string[]> {
  const until = performance.now() + SETTLE_WITHIN_MS;
  for (;;) {
    const { messages } = await page(world, random, 'status=scheduled,queued,sending,deferred&limit=100');
    if (messages.length === 0) return [];
    if (performance.now() > until)
      return messages.map(
        ({ id, status }) => `${id} is ${status} after ${SETTLE_WITHIN_MS} ms without a kill`,
      );
    await sleep(POLL_MS);
  }
}

async function collect(world: World, { asked }: Crowd, random: Random): Promise<Evidence> {
  const ids = [...new Set(asked.flatMap((one) => [...one.ids]))];
  const found = new Map<string, Shown>();
  const reader = async () => {
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
      const reply = await read(world, random, `/messages/${id}`);
      if (reply?.status === 200) found.set(id, reply.body as MessageResource);
      else if (reply?.status !== 404) throw new Error(`GET /messages/${id}: ${JSON.stringify(reply)}`);
    }
  };
  await Promise.all(Array.from({ length: READERS }, reader));
  const listed: Shown[] = [];
  for (let query: string | null = 'limit=100'; query !== null; ) {
    const { messages, next_cursor } = await page(world, random, query);
    listed.push(...messages);
    query = next_cursor && `limit=100&cursor=${encodeURIComponent(next_cursor)}`;
  }
  return { asked, found, listed, copies: world.gmail.messages.map(({ raw }) => toCopy(raw)) };
}

/** What may be answered late: where all processes of a small machine start at once, even Redis takes longer than a caller is kept waiting. */
async function read(world: World, random: Random, path: string): Promise<Reply | null> {
  const until = performance.now() + READ_WITHIN_MS;
  for (;;) {
    const reply = await call(world, random, path);
    if (reply?.status !== 503 || performance.now() > until) return reply;
    await sleep(POLL_MS);
  }
}

async function page(
  world: World,
  random: Random,
  query: string,
): Promise<{ messages: MessageResource[]; next_cursor: string | null }> {
  const reply = await read(world, random, `/messages?${query}`);
  if (reply?.status !== 200) throw new Error(`GET /messages: ${JSON.stringify(reply)}`);
  return reply.body as { messages: MessageResource[]; next_cursor: string | null };
}

function toCopy(raw: string): Copy {
  const header = (name: string) => new RegExp(`^${name}: (\\S+)`, 'im').exec(raw)?.[1] ?? '';
  return { label: header('Subject'), messageId: header('Message-ID'), raw };
}
