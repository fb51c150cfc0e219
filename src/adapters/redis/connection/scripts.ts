import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/** Lua that Redis runs as one step. */
export interface Script {
  /** Unique among all scripts of the connection, BullMQ's included. */
  readonly name: string;
  readonly keys: number;
  readonly lua: string;
}

export type Argument = string | number | Buffer;

/** A script and its arguments: first its keys, then the rest. */
export interface Call {
  readonly script: Script;
  readonly args: readonly Argument[];
}

const hashes = new WeakMap<Script, string>();

/**
 * Runs a script by its hash, and by its source if Redis does not know the hash: after SCRIPT FLUSH,
 * a failover, or an eviction from the script cache. A script that Redis does not know has changed
 * nothing, so the second run cannot repeat anything. EVAL does not depend on the cache, so there is
 * no third run.
 *
 * The custom commands of ioredis do the same only outside MULTI, and fail if the cache is emptied
 * again before the second run.
 */
export async function evalScript(redis: Redis, { script, args }: Call): Promise<unknown> {
  try {
    return await redis.evalsha(hashOf(script), script.keys, ...args);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    return redis.eval(script.lua, script.keys, ...args);
  }
}

/**
 * Creates a function that joins several calls into one: all of them run, in order, or none does.
 * The joined call returns the result of the last. MULTI does not guarantee this: it continues after
 * a script that Redis does not know.
 *
 * The function caches joined scripts by the names of their parts, so the names must be unique among
 * all scripts it is called with. Use one for each connection.
 */
export function createCallJoiner(): (calls: readonly Call[]) => Call {
  const joined = new Map<string, Script>();

  function join(scripts: readonly Script[]): Script {
    const name = scripts.map((script) => script.name).join(' ');
    const script = joined.get(name) ?? joinScripts(name, scripts);
    joined.set(name, script);
    return script;
  }

  return (calls) => {
    const keys = calls.flatMap(({ script, args }) => args.slice(0, script.keys));
    const values = calls.map(({ script, args }) => args.slice(script.keys));
    return {
      script: join(calls.map(({ script }) => script)),
      args: [...keys, ...values.map(({ length }) => length), ...values.flat()],
    };
  };
}

/** KEYS: those of all scripts. ARGV: the number of values of each script, then those values. */
function joinScripts(name: string, scripts: readonly Script[]): Script {
  const steps = scripts.map(
    ({ keys, lua }, i) => `
      local function step(KEYS, ARGV)
        ${lua}
      end
      result = step(take(KEYS, ${keys}, 'key'), take(ARGV, tonumber(ARGV[${i + 1}]), 'value'))`,
  );
  return {
    name,
    keys: scripts.reduce((sum, { keys }) => sum + keys, 0),
    lua: `
      local taken = { key = 0, value = ${scripts.length} }
      local result
      local function take(list, count, kind)
        local part = {}
        for i = 1, count do part[i] = list[taken[kind] + i] end
        taken[kind] = taken[kind] + count
        return part
      end
      ${steps.map((step) => `do ${step} end`).join('\n')}
      return result
    `,
  };
}

type Callback = (error: unknown, result?: unknown) => void;

/**
 * Makes the scripts that libraries define on this connection run by {@link evalScript} too.
 *
 * @returns a function that finds a script that was defined since, by its name
 */
export function adoptScripts(redis: Redis): (name: string) => Script {
  const defined = new Map<string, Script>();
  redis.defineCommand = (name, { lua, numberOfKeys = 0 }) => {
    const script = { name, keys: numberOfKeys, lua };
    defined.set(name, script);
    const command = (...args: unknown[]) => {
      const callback = typeof args.at(-1) === 'function' ? (args.pop() as Callback) : null;
      const result = evalScript(redis, { script, args: args.flat() as Argument[] });
      if (callback === null) return result;
      result.then(
        (value) => callback(null, value),
        (error) => callback(error),
      );
    };
    Object.assign(redis, { [name]: command });
  };
  return (name) => {
    const script = defined.get(name);
    if (!script) throw new Error(`no script named ${name} is defined`);
    return script;
  };
}

function hashOf(script: Script): string {
  const hash = hashes.get(script) ?? createHash('sha1').update(script.lua).digest('hex');
  hashes.set(script, hash);
  return hash;
}
