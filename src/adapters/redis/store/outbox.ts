import { type ListedNotice, matchesNotice, type Notice, type Outbox } from '../../../core/ports/outbox.ts';
import { channelOf } from '../../../core/webhooks/notice-queue.ts';
import { type Usage, usageOf } from '../../../core/webhooks/outbox-capacity.ts';
import type { Connection } from '../connection/connection.ts';
import type { Script } from '../connection/scripts.ts';
import { KEYS } from '../keys.ts';
import type { OutboxSteps, QueueSteps, Step } from '../steps.ts';

const PAGE_SIZE = 100;

/**
 * Reads the stored notice's size and endpoint. Defines `count`, which changes both usages, and
 * `dropFailed`, which removes failed notices that have expired, and the oldest ones while there are
 * too many beside the waiting ones, at most 100 at once.
 *
 * KEYS of all scripts: the notices, their sizes, their usage, the order of all, the failed ones, when
 * they expire.
 */
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
  local function removeFailed(id)
    local bytes = redis.call('HSTRLEN', KEYS[5], id)
    redis.call('ZREM', KEYS[6], id)
    redis.call('ZREM', KEYS[4], id)
    if redis.call('HDEL', KEYS[5], id) == 0 then return end
    redis.call('HINCRBY', KEYS[3], 'failed', -1)
    redis.call('HINCRBY', KEYS[3], 'failed bytes', -bytes)
  end
  local function dropFailed(maxNotices, maxBytes, now)
    for _ = 1, 100 do
      local oldest = redis.call('ZRANGE', KEYS[6], 0, 0, 'WITHSCORES')
      if not oldest[1] then return end
      local used = redis.call('HMGET', KEYS[3], 'notices', 'bytes', 'failed', 'failed bytes')
      for i = 1, 4 do used[i] = tonumber(used[i] or 0) end
      local fits = used[1] + used[3] <= tonumber(maxNotices) and used[2] + used[4] <= tonumber(maxBytes)
      if fits and tonumber(oldest[2]) > tonumber(now) then return end
      removeFailed(oldest[1])
    end
  end
  local stored = redis.call('HGET', KEYS[2], ARGV[1])
  local storedBytes, storedUrl
  if stored then storedBytes, storedUrl = string.match(stored, '^(%d+) (.*)$') end
`;

const KEY_COUNT = 6;

/**
 * Adds or replaces a notice, within the limits that OutboxCapacity (core/webhooks) applies.
 *
 * ARGV: id, notice, its bytes, its endpoint, maximum notices and bytes, epoch ms at which it was
 * created, epoch ms now.
 * Returns 2 if it was added, 1 if it was replaced, 0 if there is no capacity.
 */
const PUT: Script = {
  name: 'outtrayPut',
  keys: KEY_COUNT,
  lua: `
    ${COUNT}
    local url = ARGV[4]
    if not stored then
      local used = redis.call('HMGET', KEYS[3], 'notices', 'bytes', 'notices ' .. url, 'bytes ' .. url)
      for i = 1, 4 do used[i] = tonumber(used[i] or 0) end
      if used[3] >= ARGV[5] - used[1] or used[4] + ARGV[3] > ARGV[6] - used[2] then return 0 end
      removeFailed(ARGV[1])
    else
      count(storedUrl, -1, -storedBytes)
    end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[3] .. ' ' .. url)
    redis.call('ZADD', KEYS[4], ARGV[7], ARGV[1])
    count(url, 1, ARGV[3])
    dropFailed(ARGV[5], ARGV[6], ARGV[8])
    return stored and 1 or 2
  `,
};

/** Does the same as {@link PUT} for a notice that is failed. Returns 0 if it is not kept any more. */
const REPLAY: Script = {
  name: 'outtrayReplay',
  keys: KEY_COUNT,
  lua: `
    if redis.call('HEXISTS', KEYS[5], ARGV[1]) == 0 then return 0 end
    ${PUT.lua}
  `,
};

/** ARGV: id. Removes a waiting notice. */
const REMOVE: Script = {
  name: 'outtrayRemove',
  keys: KEY_COUNT,
  lua: `
    ${COUNT}
    if not stored then return 0 end
    redis.call('HDEL', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
    redis.call('ZREM', KEYS[4], ARGV[1])
    count(storedUrl, -1, -storedBytes)
    return 1
  `,
};

/**
 * Makes a waiting notice a failed one.
 *
 * ARGV: id, notice, epoch ms at which it expires, epoch ms at which it was created, maximum notices
 * and bytes, epoch ms now.
 */
const FAIL: Script = {
  name: 'outtrayFail',
  keys: KEY_COUNT,
  lua: `
    ${COUNT}
    if not stored then return 0 end
    redis.call('HDEL', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
    count(storedUrl, -1, -storedBytes)
    redis.call('HSET', KEYS[5], ARGV[1], ARGV[2])
    redis.call('ZADD', KEYS[6], ARGV[3], ARGV[1])
    redis.call('ZADD', KEYS[4], ARGV[4], ARGV[1])
    redis.call('HINCRBY', KEYS[3], 'failed', 1)
    redis.call('HINCRBY', KEYS[3], 'failed bytes', #ARGV[2])
    dropFailed(ARGV[5], ARGV[6], ARGV[7])
    return 1
  `,
};

/** Drops expired failed notices. ARGV: an empty string, maximum notices and bytes, epoch ms now. */
const DROP_FAILED: Script = {
  name: 'outtrayDropFailed',
  keys: KEY_COUNT,
  lua: `
    ${COUNT}
    dropFailed(ARGV[2], ARGV[3], ARGV[4])
  `,
};

/** Creates the Outbox that all instances share. */
export function createRedisOutbox(
  connection: Connection,
  queue: Pick<QueueSteps, 'stepForNotice'>,
  limits: Usage,
  retainMs: number,
): Outbox & OutboxSteps & { dropFailed(): Promise<void> } {
  const keys = [
    KEYS.notices,
    KEYS.noticeSizes,
    KEYS.noticeUsage,
    KEYS.noticeOrder,
    KEYS.failedNotices,
    KEYS.failedNoticeExpiry,
  ];
  const maximum = [limits.notices, Math.floor(limits.bytes)];

  const now = () => Math.floor(connection.clock.now());

  function stepFor(notice: Notice, script = PUT): Step<boolean> {
    const { id, url, dueAt, createdAt } = notice;
    const values = [id, JSON.stringify(notice), usageOf(notice).bytes, url];
    const push = queue.stepForNotice(id, channelOf(url), dueAt);
    return {
      calls: [{ script, args: [...keys, ...values, ...maximum, createdAt, now()] }, ...push.calls],
      complete([stored, ...pushed]) {
        if (stored === 2) push.complete(pushed);
        return stored !== 0;
      },
    };
  }

  async function run({ calls, complete }: Step<boolean>): Promise<boolean> {
    const [results = []] = await connection.runAtomically(calls);
    return complete(results);
  }

  async function dropFailed(): Promise<void> {
    await connection.runScript(DROP_FAILED, ...keys, '', ...maximum, now());
  }

  /** Reads notices, waiting or failed. Null for those that are gone. */
  async function read(ids: readonly string[]): Promise<(Notice | null)[]> {
    if (ids.length === 0) return [];
    const [waiting, failed] = await connection.execute((redis) =>
      Promise.all([redis.hmget(KEYS.notices, ...ids), redis.hmget(KEYS.failedNotices, ...ids)]),
    );
    return ids.map((_, i) => {
      const text = waiting[i] ?? failed[i];
      return text ? JSON.parse(text) : null;
    });
  }

  /** Returns ids in the order of the list. Those before the position may be among them. */
  function readOrder(from: number | '+inf', offset: number): Promise<string[]> {
    return connection.execute((redis) =>
      redis.zrange(KEYS.noticeOrder, from, '-inf', 'BYSCORE', 'REV', 'LIMIT', offset, PAGE_SIZE),
    );
  }

  return {
    stepFor: (notice) => stepFor(notice),
    dropFailed,
    put: (notice) => run(stepFor(notice)),
    replay: (notice) => run(stepFor(notice, REPLAY)),
    async fail(notice) {
      const { id, createdAt } = notice;
      const values = [id, JSON.stringify(notice), now() + retainMs, createdAt];
      await connection.runScript(FAIL, ...keys, ...values, ...maximum, now());
    },
    async find(id) {
      return (await read([id]))[0] ?? null;
    },
    async list({ limit, after, ...filter }) {
      await dropFailed();
      const position = after === null ? null : parsePosition(after);
      const found: ListedNotice[] = [];
      for (let offset = 0; ; offset += PAGE_SIZE) {
        const ids = await readOrder(position?.createdAt ?? '+inf', offset);
        for (const notice of await read(ids)) {
          if (notice === null || !matchesNotice(notice, filter) || !isAfter(notice, position)) continue;
          found.push({ notice, position: `${notice.createdAt}:${notice.id}` });
          if (found.length === limit) return found;
        }
        if (ids.length < PAGE_SIZE) return found;
      }
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

type Position = Pick<Notice, 'createdAt' | 'id'>;

function parsePosition(text: string): Position {
  const [createdAt, id = ''] = text.split(':');
  return { createdAt: Number(createdAt) || 0, id };
}

/** Whether a notice comes after a position, newest first. */
function isAfter({ createdAt, id }: Position, position: Position | null): boolean {
  if (position === null || createdAt < position.createdAt) return true;
  return createdAt === position.createdAt && id < position.id;
}
