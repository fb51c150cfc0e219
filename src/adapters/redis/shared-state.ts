import type { SharedState, SharedValue, StoredValue } from '../../core/ports/shared-state.ts';
import { DAY } from '../../core/time.ts';
import { changedBuckets, copyUsage, type Usage, type UsageBucket } from '../../core/usage.ts';
import type { Connection } from './connection/connection.ts';
import { toUnavailable } from './connection/redis-errors.ts';
import { KEYS } from './keys.ts';
import { CHANGE, CREATE, READ } from './shared-state-scripts.ts';

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
  run(value: Value, usage: Usage): void;
  resolve(): void;
  reject(reason: unknown): void;
}

/**
 * State that all instances share. An instance changes what it last saw by compare-and-set, and
 * makes the change again on the stored value if another instance was faster.
 */
export function createRedisSharedState(connection: Connection): SharedState {
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

      return createSharedValue(connection, keys[0], await read(), read);
    },
  };
}

function createSharedValue<Value extends object>(
  connection: Connection,
  key: string,
  opened: Snapshot<Value>,
  read: () => Promise<Snapshot<Value>>,
): SharedValue<Value> {
  let current = opened;
  let waiting: Edit<Value>[] = [];
  let isChanging = false;

  /** Makes all waiting changes in one step, until none is left. */
  async function changeAll(): Promise<void> {
    isChanging = true;
    while (waiting.length > 0) {
      const edits = waiting;
      waiting = [];
      try {
        for (const edit of await commit(edits)) edit.resolve();
      } catch (error) {
        for (const edit of edits) edit.reject(toUnavailable(error));
      }
    }
    isChanging = false;
  }

  /**
   * Returns the edits that were made. An edit that throws changes nothing, and has been rejected.
   */
  async function commit(edits: readonly Edit<Value>[]): Promise<readonly Edit<Value>[]> {
    for (;;) {
      // A read may replace `current` while the script runs.
      const base = current;
      const { value, usage, made } = apply(base, edits);
      const json = JSON.stringify(value);
      const newJson = json === base.json ? '' : json;
      const buckets = toFields(changedBuckets(base.usage, usage));
      const newest = String(base.usage.at(-1)?.leavesAt ?? '');
      const fields = await connection.runScript(CHANGE, key, base.revision, newest, newJson, ...buckets);
      if (fields === null) {
        const isChanged = newJson !== '' || buckets.length > 0;
        const revision = isChanged ? String(Number(base.revision) + 1) : base.revision;
        current = { revision, json, value, usage };
        return made;
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
        waiting.push({
          run: (value, usage) => {
            result = edit(value, usage);
          },
          resolve: () => resolve(result),
          reject,
        });
        if (!isChanging) void changeAll();
      });
    },
  };
}

/**
 * Runs the edits on copies. One that throws may have changed something before, so the others start
 * over.
 */
function apply<Value>(
  { json, usage: stored }: Snapshot<Value>,
  edits: readonly Edit<Value>[],
): { value: Value; usage: Usage; made: readonly Edit<Value>[] } {
  let made = edits;
  for (;;) {
    const value: Value = JSON.parse(json);
    const usage = copyUsage(stored);
    const failed = made.find((edit) => {
      try {
        edit.run(value, usage);
        return false;
      } catch (error) {
        edit.reject(error);
        return true;
      }
    });
    if (!failed) return { value, usage, made };
    made = made.filter((edit) => edit !== failed);
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
