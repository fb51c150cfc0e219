import type { Notice, Outbox } from '../../../core/ports/outbox.ts';
import { channelOf } from '../../../core/webhooks/notice-queue.ts';
import { type Usage, usageOf } from '../../../core/webhooks/outbox-capacity.ts';
import type { Connection } from '../connection/connection.ts';
import type { Script } from '../connection/scripts.ts';
import { KEYS } from '../keys.ts';
import type { OutboxSteps, QueueSteps, Step } from '../steps.ts';

const PAGE_SIZE = 100;

/** Reads the stored notice's size and endpoint, and defines `count`, which changes both usages. */
const COUNT = `
  local function count(url, notices, bytes)
    redis.call('HINCRBY', KEYS[3], 'notices', notices)
    redis.call('HINCRBY', KEYS[3], 'bytes', bytes)
    if redis.call('HINCRBY', KEYS[3], 'notices ' .. url, notices) <= 0 then
      redis.call('HDEL', KEYS[3], 'notices ' .. url, 'bytes ' .. url)
    else
      redis.call('HINCRBY', KEYS[3], 'bytes ' .. url, bytes)
    end
  end
  local stored = redis.call('HGET', KEYS[2], ARGV[1])
  local storedBytes, storedUrl
  if stored then storedBytes, storedUrl = string.match(stored, '^(%d+) (.*)$') end
`;

/**
 * Adds or replaces a notice, within the limits that OutboxCapacity (core/webhooks) applies.
 *
 * KEYS: the notices, their sizes, their usage.
 * ARGV: id, notice, its bytes, its endpoint, maximum notices and bytes.
 * Returns 2 if it was added, 1 if it was replaced, 0 if there is no capacity.
 */
const PUT: Script = {
  name: 'outtrayPut',
  keys: 3,
  lua: `
    ${COUNT}
    local url = ARGV[4]
    if not stored then
      local used = redis.call('HMGET', KEYS[3], 'notices', 'bytes', 'notices ' .. url, 'bytes ' .. url)
      for i = 1, 4 do used[i] = tonumber(used[i] or 0) end
      if used[3] >= ARGV[5] - used[1] or used[4] + ARGV[3] > ARGV[6] - used[2] then return 0 end
    else
      count(storedUrl, -1, -storedBytes)
    end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[3] .. ' ' .. url)
    count(url, 1, ARGV[3])
    return stored and 1 or 2
  `,
};

/** KEYS: as above. ARGV: id. Returns 1 if there was a notice, else 0. */
const REMOVE: Script = {
  name: 'outtrayRemove',
  keys: 3,
  lua: `
    ${COUNT}
    if not stored then return 0 end
    redis.call('HDEL', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
    count(storedUrl, -1, -storedBytes)
    return 1
  `,
};

/** Creates the Outbox that all instances share. */
export function createRedisOutbox(
  connection: Connection,
  queue: Pick<QueueSteps, 'stepForNotice'>,
  limits: Usage,
): Outbox & OutboxSteps {
  const keys = [KEYS.notices, KEYS.noticeSizes, KEYS.noticeUsage];
  const maximum = [limits.notices, Math.floor(limits.bytes)];

  function stepFor(notice: Notice): Step<boolean> {
    const { id, url, dueAt } = notice;
    const values = [id, JSON.stringify(notice), usageOf(notice).bytes, url];
    const push = queue.stepForNotice(id, channelOf(url), dueAt);
    return {
      calls: [{ script: PUT, args: [...keys, ...values, ...maximum] }, ...push.calls],
      complete([stored, ...pushed]) {
        if (stored === 2) push.complete(pushed);
        return stored !== 0;
      },
    };
  }

  return {
    stepFor,
    async put(notice) {
      const { calls, complete } = stepFor(notice);
      const [results = []] = await connection.runAtomically(calls);
      return complete(results);
    },
    async get(id) {
      const notice = await connection.execute((redis) => redis.hget(KEYS.notices, id));
      return notice === null ? null : JSON.parse(notice);
    },
    async remove(id) {
      await connection.runScript(REMOVE, ...keys, id);
    },
    async *pending() {
      // HSCAN may return an entry twice when the hash is resized meanwhile.
      const seen = new Set<string>();
      let cursor = '0';
      do {
        const [next, entries] = await connection.execute((redis) =>
          redis.hscan(KEYS.notices, cursor, 'COUNT', PAGE_SIZE),
        );
        for (let i = 0; i < entries.length; i += 2) {
          const id = entries[i] as string;
          if (seen.has(id)) continue;
          seen.add(id);
          yield JSON.parse(entries[i + 1] as string);
        }
        cursor = next;
      } while (cursor !== '0');
    },
  };
}
