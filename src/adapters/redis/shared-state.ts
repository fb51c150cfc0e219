import type { DeliveryChange } from '../../core/ports/delivery-store.ts';
import type { Notice } from '../../core/ports/outbox.ts';
import type { SharedState, SharedValue, StoredValue } from '../../core/ports/shared-state.ts';
import { DAY } from '../../core/time.ts';
import { changedBuckets, copyUsage, type Usage, type UsageBucket } from '../../core/usage.ts';
import type { Connection } from './connection/connection.ts';
import { toUnavailable } from './connection/redis-errors.ts';
import type { Results } from './connection/scripts.ts';
import { KEYS } from './keys.ts';
import { CHANGE, CREATE, READ } from './shared-state-scripts.ts';
import type { DeliverySteps, OutboxSteps, Step } from './steps.ts';

/** What version 0.1 stored is not needed once its usage has left the window. */
const FORMER_LIFETIME_MS = DAY;

/** A value with its usage, as Redis had them at this revision. */
interface Snapshot<Value> {
  readonly revision: string;
  readonly json: string;
  readonly value: Value;
  readonly usage: Usage;
}

interface Edit<Value> {
  /** Returns the change of a delivery to make in the same step, or null. */
  run(value: Value, usage: Usage, notices: Notice[]): DeliveryChange | null;
  /** @param isStored whether that delivery has changed; null if there was none to change */
  resolve(isStored: boolean | null): void;
  reject(reason: unknown): void;
}

/**
 * State that all instances share. An instance changes what it last saw by compare-and-set, and
 * makes the change again on the stored value if another instance was faster.
 */
export function createRedisSharedState(
  connection: Connection,
  store: DeliverySteps,
  outbox: OutboxSteps,
): SharedState {
  return {
    shared: true,
    now: connection.clock.now,
    async open<Value extends object>(
      name: string,
      initial: () => Value,
      upgrade?: (stored: object) => StoredValue<Value> | null,
    ) {
      const keys = [KEYS.sharedValue(name), KEYS.formerSharedValue(name)] as const;

      /** Creates the value, too, also when Redis has lost it. */
      async function read(): Promise<Snapshot<Value>> {
        const [fields, formerJson] = (await connection.runScript(READ, ...keys)) as [string[], string?];
        if (fields.length > 0) return toSnapshot(fields);
        const former = formerJson ? upgrade?.(JSON.parse(formerJson)) : null;
        const { value, usage } = former ?? { value: initial(), usage: [] };
        // Microseconds are above every revision that the value had before Redis lost it.
        const revision = String(Math.ceil(connection.clock.now() * 1000));
        const head = ['revision', revision, 'value', JSON.stringify(value), 'buckets', revision];
        const stored = await connection.runScript(
          CREATE,
          ...keys,
          FORMER_LIFETIME_MS,
          ...head,
          ...toFields(usage),
        );
        return toSnapshot(stored as string[]);
      }

      return createSharedValue(connection, { store, outbox }, keys[0], await read(), read);
    },
  };
}

function createSharedValue<Value extends object>(
  connection: Connection,
  { store, outbox }: { readonly store: DeliverySteps; readonly outbox: OutboxSteps },
  key: string,
  opened: Snapshot<Value>,
  read: () => Promise<Snapshot<Value>>,
): SharedValue<Value> {
  let current = opened;
  let waiting: Edit<Value>[] = [];
  let isChanging = false;

  function add(edit: Edit<Value>) {
    waiting.push(edit);
    if (!isChanging) void changeAll();
  }

  /** Makes all waiting changes in one step, until none is left. */
  async function changeAll(): Promise<void> {
    isChanging = true;
    while (waiting.length > 0) {
      const edits = waiting;
      waiting = [];
      try {
        await commit(edits);
      } catch (error) {
        for (const edit of edits) edit.reject(toUnavailable(error));
      }
    }
    isChanging = false;
  }

  /** Makes the edits. One that throws changes nothing, and is rejected. */
  async function commit(edits: readonly Edit<Value>[]): Promise<void> {
    for (;;) {
      // A read may replace `current` while the script runs.
      const base = current;
      const { value, usage, made } = apply(base, edits);
      const json = JSON.stringify(value);
      const newJson = json === base.json ? '' : json;
      const buckets = toFields(changedBuckets(base.usage, usage));
      const newest = String(base.usage.at(-1)?.leavesAt ?? '');
      const change = { script: CHANGE, args: [key, base.revision, newest, newJson, ...buckets] };
      const steps = made.map((each) => each.change && store.stepOf(each.change));
      const deliveries = steps.filter((step) => step !== null);
      const noticeStep = outbox.stepForNew(made.flatMap(({ notices }) => notices));
      const [[fields] = [], ...results] = await connection.runAtomically(
        [change],
        ...deliveries.map(({ calls }) => calls),
        noticeStep.calls,
      );
      if (fields === null) {
        const isChanged = newJson !== '' || buckets.length > 0;
        const revision = isChanged ? String(Number(base.revision) + 1) : base.revision;
        current = { revision, json, value, usage };
        for (const [i, { edit }] of made.entries()) end(edit, steps[i] ?? null, () => results.shift() ?? []);
        noticeStep.complete(results.shift() ?? []);
        return;
      }
      const stored = fields as string[];
      current = stored.length > 0 ? toSnapshot(stored, base.usage) : await read();
    }
  }

  return {
    get value() {
      return current.value;
    },
    get usage() {
      return current.usage;
    },
    async read() {
      current = await read();
      return current.value;
    },
    change(edit) {
      return new Promise((resolve, reject) => {
        let result: ReturnType<typeof edit>;
        add({
          run(value, usage, notices) {
            result = edit(value, usage, notices);
            return null;
          },
          resolve: () => resolve(result),
          reject,
        });
      });
    },
    changeWith(edit, changeOf) {
      return new Promise((resolve, reject) => {
        let result: ReturnType<typeof edit>;
        add({
          run(value, usage, notices) {
            result = edit(value, usage, notices);
            return changeOf(result);
          },
          resolve: (isStored) => resolve({ result, isStored }),
          reject,
        });
      });
    },
  };
}

/** Ends an edit that was made, with the results of the calls of its delivery, if it has one. */
function end<Value>(edit: Edit<Value>, step: Step<boolean> | null, results: () => Results): void {
  try {
    edit.resolve(step === null ? null : step.complete(results()));
  } catch (error) {
    edit.reject(error);
  }
}

/** An edit that was made, and what is stored with it. */
interface Made<Value> {
  readonly edit: Edit<Value>;
  readonly change: DeliveryChange | null;
  readonly notices: readonly Notice[];
}

/**
 * Runs the edits on copies. One that throws may have changed something before, so the others start
 * over.
 */
function apply<Value>(
  { json, usage: stored }: Snapshot<Value>,
  edits: readonly Edit<Value>[],
): { value: Value; usage: Usage; made: readonly Made<Value>[] } {
  let remaining = edits;
  for (;;) {
    const value: Value = JSON.parse(json);
    const usage = copyUsage(stored);
    const made: Made<Value>[] = [];
    const failed = remaining.find((edit) => {
      try {
        const notices: Notice[] = [];
        made.push({ edit, change: edit.run(value, usage, notices), notices });
        return false;
      } catch (error) {
        edit.reject(error);
        return true;
      }
    });
    if (!failed) return { value, usage, made };
    remaining = remaining.filter((edit) => edit !== failed);
  }
}

/**
 * Each bucket by when it leaves the window: its messages and recipients, or nothing if it is gone.
 */
function toFields(usage: Readonly<Usage>): string[] {
  return usage.flatMap(({ leavesAt, messages, recipients }) => [
    String(leavesAt),
    messages === 0 ? '' : `${messages} ${recipients}`,
  ]);
}

/**
 * @param known usage whose newest bucket alone can differ, if the fields are not all that are
 *   stored
 */
function toSnapshot<Value>(fields: readonly string[], known: Readonly<Usage> = []): Snapshot<Value> {
  let revision = '';
  let json = '';
  let isPartial = true;
  const usage: Usage = [];
  for (let i = 0; i < fields.length; i += 2) {
    const [name = '', text = ''] = [fields[i], fields[i + 1]];
    if (name === 'revision') revision = text;
    else if (name === 'value') json = text;
    else if (name === 'buckets') isPartial = false;
    else usage.push(toBucket(name, text));
  }
  usage.sort((a, b) => a.leavesAt - b.leavesAt);
  if (isPartial) usage.unshift(...known.slice(0, -1));
  return { revision, json, value: JSON.parse(json), usage };
}

function toBucket(leavesAt: string, text: string): UsageBucket {
  const [messages, recipients] = text.split(' ');
  return { leavesAt: Number(leavesAt), messages: Number(messages), recipients: Number(recipients) };
}
