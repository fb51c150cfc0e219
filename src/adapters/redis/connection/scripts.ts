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
const joined = new Map<string, Script>();

/**
 * Runs a script by its hash, and by its source if Redis does not know the hash: after SCRIPT FLUSH, a failover, or an eviction from the script
 * cache. A script that Redis does not know has changed nothing, so the second run cannot repeat anything. EVAL is not subject to the cache, so
 * there is no third.
 *
 * ioredis' own custom commands do the same only outside MULTI, and fail if the cache is emptied again before the second run.
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
 * Makes several calls one: all of them run, in order, or none does. Returns the result of the last. A MULTI does not do: it goes on after a
 * script that Redis does not know.
 */
export function joinCalls(calls: readonly Call[]): Call {
  const keys = calls.flatMap(({ script, args }) => args.slice(0, script.keys));
  const values = calls.map(({ script, args }) => args.slice(script.keys));
  return {
    script: joinScripts(calls.map(({ script }) => script)),
    args: [...keys, ...values.map(({ length }) => length), ...values.flat()],
  };
}

/** KEYS: those of all scripts. ARGV: the number of values of each script, then those values. */
function joinScripts(scripts: readonly Script[]): Script {
  const name = scripts.map((script) => script.name).join(' ');
  const known = joined.get(name);
  if (known) return known;
  const steps = scripts.map(
    ({ keys, lua }, i) => `
      local function step(KEYS, ARGV)
        ${lua}
      end
      result = step(take(KEYS, ${keys}, 'key'), take(ARGV, tonumber(ARGV[${i + 1}]), 'value'))`,
  );
  const script: Script = {
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
  joined.set(name, script);
  return script;
}

type Callback = (error: unknown, result?: unknown) => void;

/**
 * Lets the scripts that libraries define on this connection run by {@connection runScript} too.
 *
 * @returns what looks up a script that was defined since
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
    if (!script) throw new Error(`there is no script ${name}`);
    return script;
  };
}

function hashOf(script: Script): string {
  const hash = hashes.get(script) ?? createHash('sha1').update(script.lua).digest('hex');
  hashes.set(script, hash);
  return hash;
}
