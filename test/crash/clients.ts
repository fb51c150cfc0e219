import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchResult } from '../../src/http/schemas/batch.ts';
import { API_KEY } from '../helpers/service.ts';
import { between, createRandom, oneOf, type Random } from './random.ts';
import type { TestBed } from './test-bed.ts';
import type { ClientRequest } from './violations.ts';

const CLIENTS = 16;
const CALL_AT_MOST_MS = 10_000;
/** Maximum time, after the last kill, for which a request with an Idempotency-Key is repeated. */
const REPEAT_FOR_MS = 60_000;

/** Most servers respond slowly, so that kills hit running attempts. */
const RECIPIENTS = [
  ...[0, 5, 15, 40].map((ms) => `slow+${ms}ms@simulator.test`),
  'ada@example.com',
  'bob@example.com',
  'drop-after-dot@simulator.test',
  'blocked-content@simulator.test',
];

/** Concurrent clients of the API that record their requests and the responses. */
export interface Clients {
  readonly asked: readonly ClientRequest[];
  /** Responses that must never happen, and requests that never got one. */
  readonly unexpected: readonly string[];
  /** Stops new requests. Resolves when each client has its response. */
  stop(): Promise<void>;
}

/** A response. `call` returns null if the outcome of the request is unknown. */
export interface Reply {
  readonly status: number;
  readonly body: unknown;
}

export async function call(
  testBed: TestBed,
  random: Random,
  path: string,
  init: RequestInit = {},
): Promise<Reply | null> {
  const url = testBed.url(random);
  if (url === null) return null;
  try {
    const headers = { authorization: `Bearer ${API_KEY}`, ...init.headers };
    const response = await fetch(`${url}${path}`, {
      ...init,
      headers,
      signal: AbortSignal.timeout(CALL_AT_MOST_MS),
    });
    return { status: response.status, body: await response.json() };
  } catch {
    return null;
  }
}

interface NotedRequest extends ClientRequest {
  readonly ids: Set<string>;
  canceled: boolean;
}

export function startClients(testBed: TestBed, seed: string): Clients {
  const notes: NotedRequest[] = [];
  const unexpected: string[] = [];
  let stopping = false;
  let giveUpAt = Number.POSITIVE_INFINITY;

  async function client(number: number): Promise<void> {
    const random = createRandom(`${seed} client ${number}`);
    for (let turn = 1; !stopping; turn++) {
      await testBed.timing.rest(between(random, 0, 150));
      if (testBed.url(random) !== null) await ask(`${number}.${turn}`, random);
    }
  }

  async function ask(name: string, random: Random): Promise<void> {
    const keyed = random() < 0.5;
    const count = random() < 0.15 ? between(random, 2, 6) : 1;
    const noted = Array.from(
      { length: count },
      (_, index): NotedRequest => ({ label: `m${name}.${index + 1}`, ids: new Set(), canceled: false }),
    );
    notes.push(...noted);
    const bodies = noted.map(({ label }) => bodyFor(label, random, keyed));
    const batch = count > 1 || random() < 0.05;
    const send = () =>
      post(
        batch ? '/send/batch' : '/send',
        batch ? { messages: bodies } : bodies[0],
        keyed ? name : null,
        noted,
        random,
      );
    if (!keyed) await send();
    else await repeat(name, send, random);
    const [first] = noted;
    if (first && first.ids.size > 0 && random() < 0.15) await cancel(first, random);
  }

  /** Repeats a request until there is a final response, and sometimes once more. */
  async function repeat(name: string, send: () => Promise<boolean>, random: Random): Promise<void> {
    while (!(await send())) {
      if (performance.now() > giveUpAt)
        return void unexpected.push(`m${name} got no response for ${REPEAT_FOR_MS} ms without a kill`);
      await sleep(between(random, 20, 200));
    }
    if (random() < 0.3) await send();
  }

  /** Posts the messages. Returns whether the response is final. */
  async function post(
    path: string,
    body: unknown,
    key: string | null,
    noted: readonly NotedRequest[],
    random: Random,
  ): Promise<boolean> {
    const keyHeader: Record<string, string> = key === null ? {} : { 'idempotency-key': key };
    const headers = { 'content-type': 'application/json', ...keyHeader };
    const reply = await call(testBed, random, path, { method: 'POST', headers, body: JSON.stringify(body) });
    if (reply === null) return false;
    const results =
      path === '/send'
        ? [{ status: reply.status, message: reply.body }]
        : (reply.body as { results?: BatchResult[] }).results;
    for (const [index, { status, message }] of (results ?? []).entries()) {
      if (status === 202) noted[index]?.ids.add((message as { id: string }).id);
    }
    if (noted.some(({ ids }) => ids.size > 0)) testBed.timing.acknowledged();
    return isAnswer(reply, `POST ${path} for ${noted[0]?.label}`);
  }

  async function cancel(note: NotedRequest, random: Random): Promise<void> {
    const [id = ''] = note.ids;
    const reply = await call(testBed, random, `/messages/${id}/cancel`, { method: 'POST' });
    if (reply?.status === 200) note.canceled = true;
    else if (reply !== null && codeOf(reply) !== 'not_cancelable')
      isAnswer(reply, `cancel ${note.label} (${id})`);
  }

  /** Whether a response is final, as opposed to a request to retry. */
  function isAnswer(reply: Reply, to: string): boolean {
    if (reply.status === 202 || reply.status === 207) return true;
    if (!MEANWHILE.has(codeOf(reply)))
      unexpected.push(`${to}: ${reply.status} ${JSON.stringify(reply.body)}`);
    return false;
  }

  const clients = Array.from({ length: CLIENTS }, (_, index) => client(index + 1));
  return {
    asked: notes,
    unexpected,
    async stop() {
      stopping = true;
      giveUpAt = performance.now() + REPEAT_FOR_MS;
      await Promise.all(clients);
    },
  };
}

/**
 * Codes that are allowed while processes are down or starting. By then, the `expires_at` of a
 * request may have passed.
 */
const MEANWHILE = new Set(['queue_unavailable', 'idempotency_in_progress', 'validation_failed']);

function codeOf({ body }: Reply): string {
  return (body as { code?: string }).code ?? '';
}

function bodyFor(label: string, random: Random, keyed: boolean): object {
  const kind = random();
  const now = Date.now();
  const soon = (least: number, most: number) => new Date(now + between(random, least, most)).toISOString();
  return {
    to: oneOf(random, RECIPIENTS),
    subject: label,
    text: `${label}\n`.repeat(between(random, 1, 300)),
    ...(random() < 0.2 ? { priority: 'high' } : {}),
    ...(kind < 0.15 ? { scheduled_at: soon(50, 1500) } : {}),
    // Not with a key: a repeat that arrives first, after that time, is refused.
    ...(kind > 0.92 && !keyed ? { expires_at: soon(200, 1500) } : {}),
  };
}
