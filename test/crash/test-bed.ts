import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { API_KEY, APP_PASSWORD } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { createInstance, type Instance, type KillableProcess } from './processes.ts';
import { between, oneOf, type Random } from './random.ts';
import { type Receiver, startReceiver } from './receiver.ts';

/** Keeps every back-off under a second. */
const BACKOFF_SCALE = 0.01;

/** When a silent instance counts as dead, in ms. Longer than a busy machine delays a live one. */
const ABSENT_AFTER_MS = 4000;

/** Maximum time in which a refused login pauses the account, in ms. */
const PAUSED_WITHIN_MS = 10;

/** Maximum wait for a moment that may never come, because a process it needs is down. */
const MOMENT_WITHIN_MS = 2000;

export interface TestBedSetup {
  /** Folder for the logs and compiled code of the instances. */
  readonly folder: string;
  readonly instances: number;
  readonly env: Record<string, string>;
  /** Backends of the instances. Started before them, and killed like them. */
  readonly stores: readonly KillableProcess[];
}

/** Events shared by clients and kills, so that a kill can hit a critical moment. */
export interface ClientTiming {
  /** Reports that a client has just received an acknowledgment. */
  acknowledged(): void;
  /** Resolves after `ms`, or when all clients are to send at the same time. */
  rest(ms: number): Promise<void>;
}

/** A simulator that keeps running, and a service whose processes are killed. */
export interface TestBed extends AsyncDisposable {
  readonly gmail: Simulator;
  readonly receiver: Receiver;
  readonly timing: ClientTiming;
  /** URL of a random running instance. Null if none is running. */
  url(random: Random): string | null;
  /** Kills one or two random processes at a random moment, and restarts them. */
  injectFault(random: Random): Promise<void>;
  /** Kills every process at the same time, and restarts them. */
  restart(): Promise<void>;
}

export async function openTestBed(
  { folder, instances: count, env, stores }: TestBedSetup,
  seed: string,
): Promise<TestBed> {
  await using stack = new AsyncDisposableStack();
  const gmail = stack.use(await startSimulator({ password: APP_PASSWORD, retain: Number.POSITIVE_INFINITY }));
  const receiver = stack.use(await startReceiver(seed));
  const setup = {
    env: { ...environment(gmail), ...receiver.env, ...env },
    ca: gmail.ca,
    backoffScale: BACKOFF_SCALE,
    absentAfterMs: ABSENT_AFTER_MS,
  };
  const instances = Array.from({ length: count }, (_, index) =>
    createInstance(`instance-${index + 1}`, setup, folder),
  );
  const processes = [...stores, ...instances];
  for (const each of processes) stack.use(each);
  const clientEvents = new EventEmitter({ captureRejections: false }).setMaxListeners(0);

  /** Kills these processes at the same time, and restarts backends before instances. */
  async function killAndRestart(victims: readonly KillableProcess[], downMs: number): Promise<void> {
    await Promise.all(victims.map((each) => each.kill()));
    await sleep(downMs);
    for (const each of processes.filter((one) => victims.includes(one))) await each.start();
  }

  /**
   * Resolves at a random moment: at once, when a client gets its response, when all clients send,
   * when Gmail has a copy and has not replied yet, or when a refused login pauses the account.
   */
  async function untilMoment(random: Random): Promise<void> {
    const late = AbortSignal.timeout(MOMENT_WITHIN_MS);
    const moment = oneOf(random, ['any', 'response', 'burst', 'copy', 'pause', 'pause'] as const);
    const taken = gmail.messages.length;
    if (moment === 'burst') clientEvents.emit('burst');
    if (moment === 'copy')
      await Promise.race([gmail.waitFor(({ messages }) => messages.length > taken), once(late, 'abort')]);
    else if (moment === 'pause') await untilPause(late, random);
    else if (moment !== 'any') await once(clientEvents, 'acknowledged', { signal: late }).catch(() => {});
  }

  /** Refuses a login once, which pauses the account, and resolves about when the pause is stored. */
  async function untilPause(late: AbortSignal, random: Random): Promise<void> {
    const { failedLogins } = gmail.counters;
    gmail.setLoginFault('bad-credentials', 1);
    // Closes all connections, so that the next message needs a login.
    gmail.setCertificate('trusted');
    const refused = gmail.waitFor(({ counters }) => counters.failedLogins > failedLogins);
    await Promise.race([refused, once(late, 'abort')]);
    await sleep(between(random, 0, PAUSED_WITHIN_MS));
  }

  for (const each of processes) await each.start();
  const owned = stack.move();
  return {
    gmail,
    receiver,
    timing: {
      acknowledged: () => void clientEvents.emit('acknowledged'),
      rest: (ms) => orBurst(ms, clientEvents),
    },
    url: (random) => urlOf(instances, random),
    async injectFault(random) {
      await sleep(between(random, 50, 1000));
      await untilMoment(random);
      const first = oneOf(random, processes);
      const second = oneOf(random, processes);
      await killAndRestart(random() < 0.2 ? [...new Set([first, second])] : [first], between(random, 0, 100));
    },
    restart: () => killAndRestart(processes, 0),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function environment(gmail: Simulator): Record<string, string> {
  return {
    PORT: '0',
    // An admin sees the webhook deliveries of all keys.
    API_KEYS: JSON.stringify([{ name: 'crm', secret: API_KEY, scopes: ['admin'] }]),
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

function orBurst(ms: number, clientEvents: EventEmitter): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  clientEvents.once('burst', resolve);
  return promise.finally(() => {
    clearTimeout(timer);
    clientEvents.off('burst', resolve);
  });
}
