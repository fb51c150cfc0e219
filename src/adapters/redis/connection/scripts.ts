import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/** Lua that Redis runs as one step. */
export interface Script {
  /** Unique among all scripts of the connection, BullMQ's included. */
  readonly name: string;
  readonly keys: number;
  readonly lua: string;
  /**
   * Lua condition on `result`, which the script has returned. Joined calls of the same group run
   * after it only if it holds.
   */
  readonly continuesIf?: string;
  /** Whether its result contains bytes that are not text. */
  readonly isBinary?: boolean;
}

export type Argument = string | number | Buffer;

/** What the calls of a group returned, in order; null for those that did not run. */
export type Results = readonly unknown[];

/** A script and its arguments: first its keys, then the rest. */
export interface Call {
  readonly script: Script;
  readonly args: readonly Argument[];
}

/** By source. */
const hashes = new Map<string, string>();

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
    return await (script.isBinary
      ? redis.callBuffer('EVALSHA', hashOf(script), script.keys, ...args)
      : redis.evalsha(hashOf(script), script.keys, ...args));
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    return script.isBinary
      ? redis.callBuffer('EVAL', script.lua, script.keys, ...args)
      : redis.eval(script.lua, script.keys, ...args);
  }
}

/**
 * Creates a function that runs groups of calls as one script: no other client's command runs
 * between them. MULTI does not guarantee this: it continues after a script that Redis does not
 * know.
 *
 * A script's `continuesIf` can end its group. In the first group, it ends all.
 *
 * The function caches joined scripts by the names of their parts, so the names must be unique among
 * all scripts it is called with. Use one for each connection.
 */
export function createCallJoiner(): (
  redis: Redis,
  groups: readonly (readonly Call[])[],
) => Promise<readonly Results[]> {
  const joined = new Map<string, Script>();

  function join(scripts: readonly Script[]): Script {
    const name = scripts.map((script) => script.name).join(' ');
    const script = joined.get(name) ?? joinScripts(name, scripts);
    joined.set(name, script);
    return script;
  }

  return async (redis, groups) => {
    const calls = groups.flat();
    const scripts = [...new Set(calls.map(({ script }) => script))].sort((a, b) =>
      a.name < b.name ? -1 : 1,
    );
    const header = groups.flatMap((group) =>
      group.flatMap(({ script, args }, i) => {
        const values = args.length - script.keys;
        return [scripts.indexOf(script) + 1, script.keys, values >> 8, values & 0xff, i === 0 ? 1 : 0];
      }),
    );
    const keys = calls.flatMap(({ script, args }) => args.slice(0, script.keys));
    const values = calls.flatMap(({ script, args }) => args.slice(script.keys));
    const script = { ...join(scripts), keys: keys.length };
    const results = (await evalScript(redis, {
      script,
      args: [...keys, Buffer.from(header), ...values],
    })) as unknown[];
    let at = 0;
    return groups.map((group) =>
      group.map((call) => {
        const result = results[at++] ?? null;
        return script.isBinary && !call.script.isBinary ? toText(result) : result;
      }),
    );
  };
}

/**
 * The script depends only on the set of scripts, not on how often and in which order they run.
 *
 * KEYS: those of all calls. ARGV: five bytes for each call, which are the index of its script, its
 * number of keys, its number of values (two bytes), and 1 if it begins a group; then the values of
 * all calls.
 */
function joinScripts(name: string, scripts: readonly Script[]): Script {
  const steps = scripts.map(({ lua }) => `function(KEYS, ARGV, previous) ${lua}\nend`);
  const conditions = scripts.flatMap(({ continuesIf }, i) =>
    continuesIf ? [`[${i + 1}] = function(result) return ${continuesIf} end`] : [],
  );
  const lua = `
    local scripts = { ${steps.join(', ')} }
    local conditions = { ${conditions.join(', ')} }
    local header = ARGV[1]
    local key, value = 1, 2
    local results, previous, group, isStopped = {}, nil, 0, false
    for i = 1, #header / 5 do
      local index, keys, high, low, begins = string.byte(header, 5 * i - 4, 5 * i)
      local values = 256 * high + low
      if begins == 1 then
        if group == 1 and isStopped then break end
        group, isStopped, previous = group + 1, false, nil
      end
      results[i] = false
      if not isStopped then
        local result = scripts[index](
          { unpack(KEYS, key, key + keys - 1) }, { unpack(ARGV, value, value + values - 1) }, previous
        )
        if type(result) == 'table' and result.err then return result end
        results[i], previous = result or false, result
        isStopped = conditions[index] ~= nil and not conditions[index](result)
      end
      key, value = key + keys, value + values
    end
    return results
  `;
  return { name, keys: 0, lua, isBinary: scripts.some(({ isBinary }) => isBinary === true) };
}

/** Decodes all bytes of a result. */
function toText(result: unknown): unknown {
  if (Buffer.isBuffer(result)) return result.toString();
  return Array.isArray(result) ? result.map(toText) : result;
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

function hashOf({ lua }: Script): string {
  const hash = hashes.get(lua) ?? createHash('sha1').update(lua).digest('hex');
  hashes.set(lua, hash);
  return hash;
}
