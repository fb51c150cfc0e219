import { randomBytes } from 'node:crypto';
import type {
  CachedResponse,
  IdempotencyClaim,
  IdempotencyStore,
} from '../../../core/ports/idempotency-store.ts';
import { DAY } from '../../../core/time.ts';
import type { Connection } from '../connection/connection.ts';
import type { Script } from '../connection/scripts.ts';
import { KEYS } from '../keys.ts';

const SEED_BYTES = 16;
/**
 * Minimum lifetime of a claim that never ends, in ms. No claim is in progress for as long, so an
 * abandoned one can expire after it.
 */
const MIN_LIFETIME_MS = DAY;

/**
 * Claims a key, or takes over a claim that is not in progress.
 *
 * KEYS: the claim. ARGV: fingerprint, seed for a new claim, instance, prefix of heartbeat keys,
 * lifetime of the claim in ms. Returns the kind of the claim and its values.
 */
const CLAIM: Script = {
  name: 'outtrayClaim',
  keys: 1,
  lua: `
    local claim = redis.call('HMGET', KEYS[1], 'fingerprint', 'seed', 'instance', 'answer', 'receipt')
    local seed = claim[2] or ARGV[2]
    if claim[1] and claim[1] ~= ARGV[1] then return { 'mismatch' } end
    if claim[5] then return { 'accepted', claim[5], claim[4] or '' } end
    if claim[4] then return { 'responded', claim[4] } end
    if claim[3] and claim[3] ~= '' and redis.call('EXISTS', ARGV[4] .. claim[3]) == 1 then return { 'in_progress' } end
    redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'seed', seed, 'instance', ARGV[3])
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
    return { 'new', seed }
  `,
};

/**
 * Ends a claim of the instance. Does nothing if it has ended, or another instance has taken it
 * over.
 *
 * KEYS: the claim. ARGV: instance, `release` or `mark_unknown`.
 */
const END: Script = {
  name: 'outtrayEndClaim',
  keys: 1,
  lua: `
    if redis.call('HGET', KEYS[1], 'instance') ~= ARGV[1] then return 0 end
    if ARGV[2] == 'release' then return redis.call('DEL', KEYS[1]) end
    return redis.call('HSET', KEYS[1], 'instance', '')
  `,
};

/**
 * Accepts a claim of the instance. Stores the response, if there is one, of any accepted claim.
 *
 * KEYS: the claim. ARGV: instance, receipt, RETAIN in ms, response (empty: none).
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

/** What {@link CLAIM} returns. The values depend on the kind. */
type ClaimResult = readonly [kind: IdempotencyClaim['kind'], value: string, response: string];

/** Creates the IdempotencyStore that all instances share. */
export function createRedisIdempotency(connection: Connection, retainMs: number): IdempotencyStore {
  const { instance } = connection;
  const lifetimeMs = Math.max(retainMs, MIN_LIFETIME_MS);

  async function end(key: string, how: 'release' | 'mark_unknown') {
    await connection.runScript(END, KEYS.claim(key), instance, how);
  }

  return {
    async claim(key, fingerprint) {
      const seed = randomBytes(SEED_BYTES).toString('hex');
      const args = [fingerprint, seed, instance, KEYS.heartbeat(''), lifetimeMs];
      const result = await connection.runScript(CLAIM, KEYS.claim(key), ...args);
      return toClaim(result as ClaimResult);
    },
    async accept(key, receipt, response) {
      const encoded = response === null ? '' : JSON.stringify(response);
      const args = [instance, JSON.stringify(receipt), retainMs, encoded];
      await connection.runScript(ACCEPT, KEYS.claim(key), ...args);
    },
    release: (key) => end(key, 'release'),
    markUnknown: (key) => end(key, 'mark_unknown'),
  };
}

function toClaim([kind, value, response]: ClaimResult): IdempotencyClaim {
  switch (kind) {
    case 'new':
      return { kind, seed: value };
    case 'accepted':
      return {
        kind,
        receipt: JSON.parse(value),
        response: response === '' ? null : parseResponse(response),
      };
    case 'responded':
      return { kind, response: parseResponse(value) };
    default:
      return { kind };
  }
}

function parseResponse(text: string): CachedResponse {
  return JSON.parse(text);
}
