import type { SharedState, SharedValue, StoredValue } from '../../core/ports/shared-state.ts';
import { DAY } from '../../core/time.ts';
import { changedBuckets, copyUsage, type Usage } from '../../core/usage.ts';
import type { Connection } from './connection/connection.ts';
import { toUnavailable } from './connection/redis-errors.ts';
import type { Script } from './connection/scripts.ts';
import { KEYS } from './keys.ts';

/**
 * KEYS: value, value of version 0.1. Returns the fields of the first; the second, if there is only
 * that.
 */
const READ: Script = {
  name: 'outtrayReadShared',
  keys: 2,
  lua: `
    local fields = redis.call('HGETALL', KEYS[1])
    if #fields > 0 then return { fields } end
    return { fields, redis.call('HGET', KEYS[2], 'value') }
  `,
};

/**
 * KEYS: value, value of version 0.1. ARGV: lifetime of the value of version 0.1 in ms, fields.
 * Returns the fields that are stored now, which another instance may have created. Instances of
 * version 0.1 that still run go on with their own value.
 */
const CREATE: Script = {
  name: 'outtrayCreateShared',
  keys: 2,
  lua: `
    if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[1], unpack(ARGV, 2)) end
    redis.call('PEXPIRE', KEYS[2], ARGV[1])
    return redis.call('HGETALL', KEYS[1])
  `,
};

/**
 * KEYS: value. ARGV: the revision that was changed, the new value if it changed or an empty string,
 * changed buckets with their usage, or an empty string to drop them. Returns the fields that are
 * stored if their revision is another one. The revision covers the usage, too, so buckets are set
 * and not incremented.
 */
const CHANGE: Script = {
  name: 'outtrayChangeShared',
  keys: 1,
  lua: `
    if redis.call('HGET', KEYS[1], 'revision') ~= ARGV[1] then return redis.call('HGETALL', KEYS[1]) end
    local fields = { 'revision', ARGV[1] + 1 }
    if ARGV[2] ~= '' then
      table.insert(fields, 'value')
      table.insert(fields, ARGV[2])
    end
    for i = 3, #ARGV, 2 do
      if ARGV[i + 1] == '' then
        redis.call('HDEL', KEYS[1], ARGV[i])
      else
        table.insert(fields, ARGV[i])
        table.insert(fields, ARGV[i + 1])
      end
    end
    if #ARGV > 2 or ARGV[2] ~= '' then redis.call('HSET', KEYS[1], unpack(fields)) end
    return false
  `,
};

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
        const [fields, formerJson] = (await connection.run(READ, ...keys)) as [string[], string?];
        if (fields.length > 0) return toSnapshot(fields);
        const former = formerJson ? upgrade?.(JSON.parse(formerJson)) : null;
        const { value, usage } = former ?? { value: initial(), usage: [] };
        const created = ['revision', '0', 'value', JSON.stringify(value), ...toFields(usage)];
        return toSnapshot(
          (await connection.run(CREATE, ...keys, FORMER_LIFETIME_MS, ...created)) as string[],
        );
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
      const { value, usage, made } = apply(current, edits);
      const json = JSON.stringify(value);
      const newJson = json === current.json ? '' : json;
      const buckets = toFields(changedBuckets(current.usage, usage));
      const fields = await connection.run(CHANGE, key, current.revision, newJson, ...buckets);
      if (fields === null) {
        const isChanged = newJson !== '' || buckets.length > 0;
        const revision = isChanged ? String(Number(current.revision) + 1) : current.revision;
        current = { revision, json, value, usage };
        return made;
      }
      const stored = fields as string[];
      current = stored.length > 0 ? toSnapshot(stored) : await read();
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

function toSnapshot<Value>(fields: readonly string[]): Snapshot<Value> {
  let revision = '';
  let json = '';
  const usage: Usage = [];
  for (let i = 0; i < fields.length; i += 2) {
    const [name = '', text = ''] = [fields[i], fields[i + 1]];
    if (name === 'revision') revision = text;
    else if (name === 'value') json = text;
    else {
      const space = text.indexOf(' ');
      usage.push({
        leavesAt: Number(name),
        messages: Number(text.slice(0, space)),
        recipients: Number(text.slice(space + 1)),
      });
    }
  }
  usage.sort((a, b) => a.leavesAt - b.leavesAt);
  return { revision, json, value: JSON.parse(json), usage };
}
