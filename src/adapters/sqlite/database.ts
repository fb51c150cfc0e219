import { once } from 'node:events';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { createInsertPacer } from './insert-pacer.ts';
import type { Batch, Call, Close, Copy, DatabaseState, Reply } from './protocol.ts';
import { unavailable, unwrapResult } from './sqlite-errors.ts';
import type { Reads, Writes } from './worker/procedures.ts';

/** Wait before a write is tried again after a failure, in ms. */
const PROBE_AFTER_MS = 1000;
/** Interval between checks of the file while nothing is written, in ms. */
const CHECK_EVERY_MS = 1000;
/** Maximum time until a settled delivery is tidied, in ms. */
const TIDY_AFTER_MS = 250;
/** Maximum wait of a deferred change for a write that it can be posted with, in ms. */
const DEFER_MS = 20;

const THREAD_ENDED = 'the database thread has ended';

type ArgsOf<Procedure> = Procedure extends (onRollback: never, ...args: infer Args) => unknown ? Args : never;

/**
 * The database, which lives in its own thread, so that the event loop never waits for a disk. See
 * protocol.ts for batches, order and durability.
 *
 * Calls are rejected with AppError `queue_unavailable` if the file cannot be read or written, and
 * with the errors of the procedure.
 */
export interface Database {
  /**
   * Calls a procedure that reads. It sees every earlier write with the same key.
   *
   * @param key null to see all earlier writes that have a key
   */
  read<Name extends keyof Reads>(
    key: string | null,
    name: Name,
    ...args: Parameters<Reads[Name]>
  ): Promise<ReturnType<Reads[Name]>>;
  /**
   * Calls a procedure that writes. Resolves once its transaction is synced.
   *
   * @param key what reads name to see it; null if no read must
   */
  write<Name extends keyof Writes>(
    key: string | null,
    name: Name,
    ...args: ArgsOf<Writes[Name]>
  ): Promise<ReturnType<Writes[Name]>>;
  /**
   * Copies the database to a file, which is replaced if it exists. Other calls go on meanwhile.
   *
   * @throws {Error} with the reason
   */
  copyTo(file: string): Promise<void>;
  /** Registers a function that adds deferred writes to each batch just before it is posted. */
  beforePost(addWrites: () => void): void;
  /** Posts deferred writes soon, with the next batch or on their own. */
  postSoon(): void;
  /** As of the last reply. */
  state(): DatabaseState;
  /** Epoch ms by the clock of the file. */
  now(): number;
  /** Resolves when all calls have ended and the file is closed. */
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly state: DatabaseState;
  /** Epoch ms by the clock of the file. */
  readonly now: () => number;
  /** Called with the reason when writing fails, and with null when it works again. */
  readonly onAvailabilityChange: (reason: string | null) => void;
  /** Called if the thread has ended before it was closed. All calls have been rejected. */
  readonly onLost: () => void;
}

interface Pending {
  readonly call: Call<never>;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

/** @param port of a {@link Batch} and its replies */
export function createDatabase(
  port: MessagePort,
  { now, onAvailabilityChange, onLost, ...opened }: DatabaseOptions,
): Database {
  const waiting = { reads: [] as Pending[], writes: [] as Pending[], inserts: [] as Pending[] };
  const posted = { reads: [] as Pending[], writes: [] as Pending[] };
  /** The last write of each key that has not ended. */
  const lastWrites = new Map<string, Promise<unknown>>();
  const hooks: (() => void)[] = [];
  const inserts = createInsertPacer();
  const closed = Promise.withResolvers<void>();
  let state = opened.state;
  let isScheduled = false;
  let isClosing = false;
  let isClosed = false;
  let deferred: NodeJS.Timeout | undefined;
  let probe: NodeJS.Timeout | undefined;
  let tidying: NodeJS.Timeout | undefined;

  function enqueue(kind: keyof typeof waiting, name: string, args: readonly unknown[]): Promise<never> {
    if (isClosed) return Promise.reject(unavailable(new Error('the database is closed')));
    const { promise, resolve, reject } = Promise.withResolvers<never>();
    waiting[kind].push({ call: [name, args] as unknown as Call<never>, resolve, reject });
    schedulePost();
    return promise;
  }

  function schedulePost() {
    if (!isScheduled) setImmediate(post);
    isScheduled = true;
  }

  function post() {
    clearTimeout(deferred);
    deferred = undefined;
    isScheduled = true;
    for (const addWrites of hooks) addWrites();
    isScheduled = false;
    const begun = waiting.inserts.splice(0, isClosing ? waiting.inserts.length : inserts.room(state.syncMs));
    inserts.begin(begun.length);
    const [reads, writes] = [waiting.reads.splice(0), [...waiting.writes.splice(0), ...begun]];
    if (reads.length + writes.length === 0 || isClosed) return;
    posted.reads.push(...reads);
    posted.writes.push(...writes);
    const calls = { reads: reads.map(({ call }) => call), writes: writes.map(({ call }) => call) };
    port.postMessage({ kind: 'batch', now: now(), ...calls } satisfies Batch, transfersOf(calls.writes));
  }

  port.on('message', (reply: Reply) => {
    update(reply.state);
    if (waiting.inserts.length > 0) schedulePost();
    for (const kind of ['reads', 'writes'] as const) {
      const ended = posted[kind].splice(0, reply[kind].length);
      for (const [i, { resolve, reject }] of ended.entries()) {
        try {
          resolve(unwrapResult(reply[kind][i] ?? { value: undefined }) as never);
        } catch (error) {
          reject(error);
        }
      }
    }
  });

  function update(next: DatabaseState) {
    const previous = state.failure;
    state = next;
    if (next.failure !== null) scheduleProbe();
    else if (next.untidy > 0) scheduleTidying();
    if (previous === null && next.failure !== null) onAvailabilityChange(next.failure.reason);
    if (previous !== null && next.failure === null) onAvailabilityChange(null);
  }

  /** Also repeats the deferred writes that have failed. */
  function scheduleProbe() {
    if (isClosing || isClosed) return;
    probe ??= setTimeout(() => {
      probe = undefined;
      enqueue('writes', 'writeProbe', [Date.now()]).catch(() => {});
    }, PROBE_AFTER_MS).unref();
  }

  function scheduleTidying() {
    if (isClosing) return;
    tidying ??= setTimeout(() => {
      tidying = undefined;
      enqueue('writes', 'tidySettled', []).catch(() => {});
    }, TIDY_AFTER_MS).unref();
  }

  port.on('close', () => {
    isClosed = true;
    stopTimers();
    const lost = [posted.reads, posted.writes, waiting.reads, waiting.writes, waiting.inserts].flatMap(
      (calls) => calls.splice(0),
    );
    for (const { reject } of lost) reject(unavailable(new Error(THREAD_ENDED)));
    closed.resolve();
    if (isClosing) return;
    update({ ...state, failure: { reason: THREAD_ENDED, problem: null } });
    onLost();
  });

  function stopTimers() {
    clearInterval(checking);
    clearTimeout(probe);
    clearTimeout(deferred);
    clearTimeout(tidying);
  }

  const checking = setInterval(() => {
    if (state.failure === null) enqueue('reads', 'checkFile', []).catch(() => {});
  }, CHECK_EVERY_MS).unref();

  return {
    async read(key, name, ...args) {
      const earlier = key === null ? [...lastWrites.values()] : [lastWrites.get(key)];
      for (const write of earlier) await write;
      return enqueue('reads', name, args);
    },
    write(key, name, ...args) {
      if (name === 'updateDelivery' || name === 'updateWithNotices') inserts.deliveryChanged();
      const isInsert = name === 'insertDelivery';
      const result = enqueue(isInsert ? 'inserts' : 'writes', name, args);
      if (isInsert) result.then(inserts.end, inserts.end);
      if (key === null) return result;
      const ended = result.then(forget, forget);
      function forget() {
        if (key !== null && lastWrites.get(key) === ended) lastWrites.delete(key);
      }
      lastWrites.set(key, ended);
      return result;
    },
    async copyTo(to) {
      if (isClosing || isClosed) throw new Error('the database is closed');
      const { port1, port2 } = new MessageChannel();
      port.postMessage({ kind: 'copy', to, done: port2 } satisfies Copy, [port2]);
      // If the thread ends, it closes the other port.
      const ended = new Promise<null>((resolve) => port1.on('close', () => resolve(null)));
      const [reason] = (await Promise.race([once(port1, 'message'), ended.then(() => [THREAD_ENDED])])) as [
        string | null,
      ];
      port1.close();
      if (reason !== null) throw new Error(reason);
    },
    beforePost(addWrites) {
      hooks.push(addWrites);
    },
    postSoon() {
      deferred ??= setTimeout(post, DEFER_MS).unref();
    },
    state: () => state,
    now,
    close() {
      if (isClosing || isClosed) return closed.promise;
      isClosing = true;
      stopTimers();
      post();
      port.postMessage({ kind: 'close' } satisfies Close);
      return closed.promise;
    },
  };
}

/** The memory of the byte arrays among the arguments, see {@link ownBytes}. */
function transfersOf(calls: readonly Call<never>[]): ArrayBuffer[] {
  return calls.flatMap(([, args]) =>
    args.filter((item) => item instanceof Uint8Array).map(({ buffer }) => buffer as ArrayBuffer),
  );
}
