import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { API_KEY, APP_PASSWORD } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { createInstance, type Instance, type Part } from './parts.ts';
import { between, oneOf, type Random } from './random.ts';

/** No message of a run waits longer than a fraction of a second to be tried again. */
const BACKOFF_SCALE = 0.01;

/** So soon what an instance held that has died is taken over. No shorter than a busy machine may keep one that lives from its turn. */
const ABSENT_AFTER_MS = 4000;

/** How long a moment is waited for that may never come: what it takes may be down. */
const MOMENT_WITHIN_MS = 2000;

export interface WorldSetup {
  /** What the instances leave behind beside their data. */
  readonly folder: string;
  readonly instances: number;
  readonly env: Record<string, string>;
  /** What the instances stand on: started before them, killed as they are. */
  readonly stores: readonly Part[];
}

/** What clients tell of each other, so that a kill can hit a moment that matters. */
export interface Pulse {
  /** A client has just read that its message is accepted. */
  acknowledged(): void;
  /** Resolves after `ms`, or as soon as all clients are to call at once. */
  rest(ms: number): Promise<void>;
}

/** A Gmail that never dies, and the service, which does. */
export interface World extends AsyncDisposable {
  readonly gmail: Simulator;
  readonly pulse: Pulse;
  /** Of an instance that is there, any of them. Null if none is. */
  url(random: Random): string | null;
  /** Kills something, at a moment that the numbers choose, and starts it again. */
  strike(random: Random): Promise<void>;
  /** Kills everything at once, and starts it again. */
  restart(): Promise<void>;
}

export async function openWorld({ folder, instances: count, env, stores }: WorldSetup): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const gmail = stack.use(await startSimulator({ password: APP_PASSWORD, retain: Number.POSITIVE_INFINITY }));
  const setup = {
    env: { ...environment(gmail), ...env },
    ca: gmail.ca,
    backoffScale: BACKOFF_SCALE,
    absentAfterMs: ABSENT_AFTER_MS,
  };
  const instances = Array.from({ length: count }, (_, index) =>
    createInstance(`instance-${index + 1}`, setup, folder),
  );
  const parts = [...stores, ...instances];
  for (const part of parts) stack.use(part);
  const beats = new EventEmitter({ captureRejections: false }).setMaxListeners(0);

  /** Kills them at once; what others stand on is started first. */
  async function fell(victims: readonly Part[], downMs: number): Promise<void> {
    await Promise.all(victims.map((part) => part.kill()));
    await sleep(downMs);
    for (const part of parts.filter((one) => victims.includes(one))) await part.start();
  }

  /** Resolves when it is time: at once, when a caller has its answer, or when Gmail has a copy and has not said so yet. */
  async function untilMoment(random: Random): Promise<void> {
    const late = AbortSignal.timeout(MOMENT_WITHIN_MS);
    const moment = oneOf(random, ['any', 'answer', 'salvo', 'copy'] as const);
    const taken = gmail.messages.length;
    if (moment === 'salvo') beats.emit('salvo');
    if (moment === 'copy')
      await Promise.race([gmail.waitFor(({ messages }) => messages.length > taken), once(late, 'abort')]);
    else if (moment !== 'any') await once(beats, 'acknowledged', { signal: late }).catch(() => {});
  }

  for (const part of parts) await part.start();
  const owned = stack.move();
  return {
    gmail,
    pulse: {
      acknowledged: () => void beats.emit('acknowledged'),
      rest: (ms) => orSalvo(ms, beats),
    },
    url: (random) => urlOf(instances, random),
    async strike(random) {
      await sleep(between(random, 50, 1000));
      await untilMoment(random);
      const first = oneOf(random, parts);
      const second = oneOf(random, parts);
      await fell(random() < 0.2 ? [...new Set([first, second])] : [first], between(random, 0, 100));
    },
    restart: () => fell(parts, 0),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function environment(gmail: Simulator): Record<string, string> {
  return {
    PORT: '0',
    API_KEYS: `crm:${API_KEY}`,
    GMAIL_USER: gmail.user,
    GMAIL_APP_PASSWORD: gmail.password,
    GMAIL_DAILY_MESSAGES: '1000000',
    GMAIL_DAILY_RECIPIENTS: '1000000',
    SMTP_URL: gmail.url,
    SMTP_CONNECTIONS: '8',
    RATE_LIMIT: '1000000/1m',
  };
}

function urlOf(instances: readonly Instance[], random: Random): string | null {
  const urls = instances.map(({ url }) => url).filter((url) => url !== null);
  return urls.length === 0 ? null : oneOf(random, urls);
}

function orSalvo(ms: number, beats: EventEmitter): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  beats.once('salvo', resolve);
  return promise.finally(() => {
    clearTimeout(timer);
    beats.off('salvo', resolve);
  });
}
