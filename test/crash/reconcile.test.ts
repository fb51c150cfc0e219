import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import type { MessageResource } from '../../src/http/schemas/message.ts';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { hasImapDovecot, startImapDovecot } from '../helpers/imap/dovecot.ts';
import { startFilingServer } from '../helpers/imap/filing-server.ts';
import { hasRedis } from '../helpers/redis.ts';
import { API_KEY } from '../helpers/service.ts';
import { cutAtRandom, startCuttingProxy } from '../helpers/smtp/cutting-proxy.ts';
import { createInstance, type Instance, openRedis } from './processes.ts';
import { between, createRandom, oneOf, type Random } from './random.ts';

/** CRASH_MESSAGES: 500 for the figure that the documentation claims. */
const MESSAGES = Number(process.env.CRASH_MESSAGES ?? 40);
const SEED = process.env.CRASH_SEED ?? '1';
const CUT_SHARE = 0.3;
const KILL_SHARE = 0.03;
const COPY_DELAY_MS = 500;
/** RECONCILE_FOR is three seconds by this scale: longer than the delay of a copy. */
const SCALE = 0.01;
const RECONCILING = { RECONCILE_FOR: '5m', ON_UNCERTAIN: 'retry' };
const USER = 'bot@simulator.test';
const TIMEOUT_MS = 600_000;

type Store = (
  folder: string,
) => Promise<{ readonly instances: number; readonly url: string } & Partial<AsyncDisposable>>;

const STORES: readonly (readonly [name: string, isPresent: boolean, open: Store])[] = [
  ['SQLite', true, async (folder) => ({ instances: 1, url: `sqlite:${join(folder, 'outtray.db')}` })],
  [
    'Redis',
    hasRedis,
    async () => {
      const redis = await openRedis();
      await redis.start();
      return { ...redis, instances: 2 };
    },
  ],
];

/** Sends a request to a random running instance. Null if it has no response. */
async function call(instances: readonly Instance[], random: Random, path: string, init: RequestInit = {}) {
  const urls = instances.flatMap(({ url }) => url ?? []);
  if (urls.length === 0) return null;
  const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json', ...init.headers };
  try {
    const response = await fetch(`${oneOf(random, urls)}${path}`, { ...init, headers });
    return { status: response.status, body: (await response.json()) as MessageResource };
  } catch {
    return null;
  }
}

/** Repeats a request until it succeeds: a service that is killed has no response, or a 503. */
async function callUntilDone(...request: Parameters<typeof call>): Promise<MessageResource> {
  for (;;) {
    const reply = await call(...request);
    if (reply && reply.status < 300) return reply.body;
    if (reply && reply.status !== 503 && reply.status !== 409) throw new Error(JSON.stringify(reply));
    await sleep(20);
  }
}

describe.skipIf(!hasImapDovecot)('the service with a mailbox, killed at random moments', () => {
  test.concurrent.each(STORES)(
    'sends every message exactly once through a proxy that cuts connections, on %s',
    { timeout: TIMEOUT_MS },
    async (_name, isPresent, openStore) => {
      if (!isPresent) return;
      const random = createRandom(SEED);
      const folder = await mkdtemp(join(tmpdir(), 'outtray-reconcile-'));
      await using stack = new AsyncDisposableStack();
      const certificate = createCertificate(['localhost']);
      const dovecot = stack.use(await startImapDovecot({ certificate }));
      const server = stack.use(await startFilingServer(dovecot, { certificate, delayMs: COPY_DELAY_MS }));
      const cut = cutAtRandom(random, CUT_SHARE);
      const { port } = server;
      const { ca } = certificate;
      const proxy = stack.use(await startCuttingProxy({ port, ca, certificate, cut }));
      const store = await openStore(folder);
      stack.defer(() => store[Symbol.asyncDispose]?.());
      const env = {
        PORT: '0',
        API_KEYS: `crm:${API_KEY}`,
        GMAIL_USER: USER,
        GMAIL_APP_PASSWORD: dovecot.password,
        SMTP_URL: proxy.url,
        IMAP_URL: dovecot.url,
        QUEUE_URL: store.url,
        RATE_LIMIT: '1000000/1m',
        ...RECONCILING,
      };
      const setup = { env, ca, backoffScale: SCALE, absentAfterMs: 3000 };
      const instances = Array.from({ length: store.instances }, (_, index) =>
        stack.use(createInstance(`instance-${index + 1}`, setup, folder)),
      );
      for (const instance of instances) await instance.start();

      const ids: string[] = [];
      for (let i = 0; i < MESSAGES; i += 1) {
        const body = JSON.stringify({ to: 'ada@example.com', subject: `m${i}`, text: `Text ${i}.` });
        const headers = { 'idempotency-key': `m${i}` };
        ids.push((await callUntilDone(instances, random, '/send', { method: 'POST', headers, body })).id);
        if (random() >= KILL_SHARE) continue;
        const victim = oneOf(random, instances);
        await sleep(between(random, 0, 100));
        await victim.kill();
        await victim.start();
      }
      const settled = await vi.waitFor(
        async () => {
          const messages = await Promise.all(
            ids.map((id) => callUntilDone(instances, random, `/messages/${id}`)),
          );
          expect(messages.filter(({ finished_at }) => finished_at === null)).toEqual([]);
          return messages;
        },
        { timeout: TIMEOUT_MS, interval: 1000 },
      );
      const details = `CRASH_SEED=${SEED}, see ${folder}`;
      expect(
        settled.filter(({ status }) => status !== 'sent'),
        details,
      ).toEqual([]);
      expect(server.accepted.toSorted(), details).toEqual(
        settled.map(({ message_id }) => message_id).toSorted(),
      );
      const confirmed = settled.filter(({ confirmed_by }) => confirmed_by === 'sent_mail');
      expect([proxy.counters.cuts > 0, confirmed.length > 0], details).toEqual([true, true]);
      await rm(folder, { recursive: true });
    },
  );
});
