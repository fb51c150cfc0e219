import { Redis } from 'ioredis';

/** What a Redis server has used since its start. */
export interface RedisUsage {
  /** CPU time of its process, in ms. */
  readonly cpuMs: number;
  /** Time that it has spent in scripts, with the commands in them, in ms. */
  readonly scriptMs: number;
  /** Number of scripts run. */
  readonly scripts: number;
}

/** Returns what was used from one reading to a later one. */
export function usageBetween(before: RedisUsage, after: RedisUsage): RedisUsage {
  return {
    cpuMs: after.cpuMs - before.cpuMs,
    scriptMs: after.scriptMs - before.scriptMs,
    scripts: after.scripts - before.scripts,
  };
}

/** Reads INFO cpu and INFO commandstats. Returns zeros if the URL is not one of Redis. */
export async function readRedisUsage(url: string): Promise<RedisUsage> {
  if (!url.startsWith('redis:')) return { cpuMs: 0, scriptMs: 0, scripts: 0 };
  const redis = new Redis(url);
  try {
    const [cpu, stats] = await Promise.all([redis.info('cpu'), redis.info('commandstats')]);
    const seconds = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(cpu)?.[1] ?? 0);
    let scriptMs = 0;
    let scripts = 0;
    for (const [, calls, us] of stats.matchAll(/^cmdstat_(?:eval|evalsha|fcall):calls=(\d+),usec=(\d+)/gm)) {
      scripts += Number(calls);
      scriptMs += Number(us) / 1000;
    }
    return { cpuMs: (seconds('used_cpu_user') + seconds('used_cpu_sys')) * 1000, scriptMs, scripts };
  } finally {
    redis.disconnect();
  }
}
