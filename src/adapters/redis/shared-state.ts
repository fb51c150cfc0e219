import type { SharedState, SharedValue } from '../../core/ports/shared-state.ts';
import type { Connection } from './connection/connection.ts';
import { toUnavailable } from './connection/redis-errors.ts';
import type { Script } from './connection/scripts.ts';
import { KEYS } from './keys.ts';

/** KEYS: the book. ARGV: value. Answers revision and value as they are kept from now on. */
const OPEN: Script = {
  name: 'outtrayOpenBook',
  keys: 1,
  lua: `
    if redis.call('HSETNX', KEYS[1], 'value', ARGV[1]) == 1 then redis.call('HSET', KEYS[1], 'revision', 0) end
    return redis.call('HMGET', KEYS[1], 'revision', 'value')
  `,
};

/** KEYS: the book. ARGV: the revision that was changed, the value it became (nothing: it stayed as it was). Answers what is kept, if that was another. */
const CHANGE: Script = {
  name: 'outtrayChangeBook',
  keys: 1,
  lua: `
    local kept = redis.call('HMGET', KEYS[1], 'revision', 'value')
    if kept[1] ~= ARGV[1] then return kept end
    if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'revision', ARGV[1] + 1, 'value', ARGV[2]) end
    return false
  `,
};

interface Edit<Value> {
  run(value: Value): void;
  resolve(): void;
  reject(reason: unknown): void;
}

/** Books that all instances share: a change is made on what was last seen here, and made again if that is not what is kept by then. */
export function createRedisSharedState(connection: Connection): SharedState {
  return {
    shared: true,
    now: connection.clock.now,
    async open<Value extends object>(name: string, initial: () => Value) {
      return openBook(connection, KEYS.sharedValue(name), initial);
    },
  };
}

async function openBook<Value extends object>(
  connection: Connection,
  key: string,
  initial: () => Value,
): Promise<SharedValue<Value>> {
  let waiting: Edit<Value>[] = [];
  let changing = false;
  let json = '';
  let revision = '';
  let current: Value;

  function adopt([keptRevision, keptValue]: readonly (string | null)[]) {
    json = keptValue ?? '';
    revision = keptRevision ?? '';
    current = JSON.parse(json);
  }

  /** Also when Redis has lost it. */
  async function reopen(): Promise<void> {
    adopt((await connection.runScript(OPEN, key, JSON.stringify(initial()))) as string[]);
  }

  /** Makes all changes that wait in one, until no more wait. */
  async function changeAll(): Promise<void> {
    changing = true;
    while (waiting.length > 0) {
      const edits = waiting;
      waiting = [];
      try {
        for (const edit of await commit(edits)) edit.resolve();
      } catch (error) {
        for (const edit of edits) edit.reject(toUnavailable(error));
      }
    }
    changing = false;
  }

  /** Answers the edits that were made: one that throws has changed nothing, and its caller has heard of it. */
  async function commit(edits: readonly Edit<Value>[]): Promise<readonly Edit<Value>[]> {
    for (;;) {
      const { value, made } = apply(json, edits);
      const changed = JSON.stringify(value);
      const kept = (await connection.runScript(CHANGE, key, revision, changed === json ? '' : changed)) as
        | readonly (string | null)[]
        | null;
      if (kept === null) {
        if (changed !== json) adopt([String(Number(revision) + 1), changed]);
        return made;
      }
      if (kept[0] === null) await reopen();
      else adopt(kept);
    }
  }

  await reopen();
  return {
    get value() {
      return current;
    },
    async read() {
      await reopen();
      return current;
    },
    change(edit) {
      return new Promise((resolve, reject) => {
        let result: ReturnType<typeof edit>;
        waiting.push({
          run: (value) => {
            result = edit(value);
          },
          resolve: () => resolve(result),
          reject,
        });
        if (!changing) void changeAll();
      });
    },
  };
}

function apply<Value>(
  json: string,
  edits: readonly Edit<Value>[],
): { value: Value; made: readonly Edit<Value>[] } {
  let made = edits;
  for (;;) {
    const value: Value = JSON.parse(json);
    const failed = made.find((edit) => {
      try {
        edit.run(value);
        return false;
      } catch (error) {
        edit.reject(error);
        return true;
      }
    });
    if (!failed) return { value, made };
    // It may have changed something before it threw.
    made = made.filter((edit) => edit !== failed);
  }
}
