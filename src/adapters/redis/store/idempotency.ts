import { randomBytes } from 'node:crypto';
import type {
  CachedResponse,
  IdempotencyClaim,
  IdempotencyStore,
} from '../../../core/ports/idempotency-store.ts';
import type { Connection } from '../connection/connection.ts';
import type { Script } from '../connection/scripts.ts';
import { KEYS } from '../keys.ts';

const SEED_BYTES = 16;
/** No claim is in progress for so long: what is left of one that nobody ever took up again goes. */
const MIN_KEPT_MS = 24 * 60 * 60 * 1000;

/** KEYS: the claim. ARGV: fingerprint, seed for a new one, instance, what the keys of living instances begin with, ms that a claim is kept at most. */
const CLAIM: Script = {
  name: 'outtrayClaim',
  keys: 1,
  lua: `
    local claim = redis.call('HMGET', KEYS[1], 'fingerprint', 'seed', 'instance', 'answer', 'receipt')
    local seed = claim[2] or ARGV[2]
    if claim[1] and claim[1] ~= ARGV[1] then return { 'mismatch' } end
    if claim[5] then return { 'accepted', claim[5], claim[4] or '' } end
    if claim[4] then return { 'answered', claim[4] } end
    if claim[3] and claim[3] ~= '' and redis.call('EXISTS', ARGV[4] .. claim[3]) == 1 then return { 'in_progress' } end
    redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'seed', seed, 'instance', ARGV[3])
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
    return { 'new', seed }
  `,
};

/** Ends a claim of the instance, unless it has ended, or another has taken it up. KEYS: the claim. ARGV: instance, `forget` or `suspend`. */
const END: Script = {
  name: 'outtrayEndClaim',
  keys: 1,
  lua: `
    if redis.call('HGET', KEYS[1], 'instance') ~= ARGV[1] then return 0 end
    if ARGV[2] == 'forget' then return redis.call('DEL', KEYS[1]) end
    return redis.call('HSET', KEYS[1], 'instance', '')
  `,
};

/**
 * Ends a claim of the instance by accepting it, and stores the answer, if there is one, of a claim that is accepted.
 *
 * KEYS: the claim. ARGV: instance, receipt, RETAIN, answer or nothing.
 */
const ACCEPT: Script = {
  name: 'outtrayAcceptClaim',
  keys: 1,
  lua: `
    local claim = redis.call('HMGET', KEYS[1], 'instance', 'receipt')
    if claim[1] == ARGV[1] then
      redis.call('HSET', KEYS[1], 'instance', '', 'receipt', ARGV[2])
      redis.call('PEXPIRE', KEYS[1], ARGV[3])
    elseif not claim[2] then
      return 0
    end
    if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'answer', ARGV[4]) end
    return 1
  `,
};

/** An IdempotencyLedger that all instances share. */
export function createRedisIdempotency(connection: Connection, retainMs: number): IdempotencyStore {
  const end = async (key: string, how: 'forget' | 'suspend') => {
    await connection.runScript(END, KEYS.claim(key), connection.instance, how);
  };

  return {
    async claim(key, fingerprint) {
      const seed = randomBytes(SEED_BYTES).toString('hex');
      const keptMs = Math.max(retainMs, MIN_KEPT_MS);
      const answer = await connection.runScript(
        CLAIM,
        KEYS.claim(key),
        fingerprint,
        seed,
        connection.instance,
        KEYS.heartbeat(''),
        keptMs,
      );
      return toClaim(answer as Answer);
    },
    async accept(key, receipt, answer) {
      const given = answer === null ? '' : JSON.stringify(answer);
      await connection.runScript(
        ACCEPT,
        KEYS.claim(key),
        connection.instance,
        JSON.stringify(receipt),
        retainMs,
        given,
      );
    },
    release: (key) => end(key, 'forget'),
    markUnknown: (key) => end(key, 'suspend'),
  };
}

/** Of {@connection CLAIM}: the kind of the claim, and what belongs to it. */
type Answer = readonly [kind: IdempotencyClaim['kind'], value: string, answer: string];

function toClaim([kind, value, answer]: Answer): IdempotencyClaim {
  switch (kind) {
    case 'new':
      return { kind, seed: value };
    case 'accepted':
      return { kind, receipt: JSON.parse(value), answer: answer === '' ? null : toAnswer(answer) };
    case 'answered':
      return { kind, answer: toAnswer(value) };
    default:
      return { kind };
  }
}

function toAnswer(text: string): CachedResponse {
  return JSON.parse(text);
}
