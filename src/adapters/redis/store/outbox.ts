import { type ListedNotice, matchesNotice, type Notice, type Outbox } from '../../../core/ports/outbox.ts';
import { channelOf } from '../../../core/webhooks/notice-queue.ts';
import { type Usage, usageOf } from '../../../core/webhooks/outbox-capacity.ts';
import type { Connection } from '../connection/connection.ts';
import { KEYS } from '../keys.ts';
import type { OutboxSteps, QueueSteps, Step } from '../steps.ts';
import { DROP_FAILED, FAIL, PUT, REMOVE, REPLAY } from './outbox-scripts.ts';

const PAGE_SIZE = 100;

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
  const dropListeners: ((notice: Notice) => void)[] = [];

  const now = () => Math.floor(connection.clock.now());

  /** The outcome is whether there was capacity for the notice. */
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

  function stepForNew(notices: readonly Notice[]): Step {
    const steps = notices.map((notice) => ({ notice, ...stepFor(notice) }));
    return {
      calls: steps.flatMap(({ calls }) => calls),
      complete(results) {
        const rest = [...results];
        for (const { notice, calls, complete } of steps)
          if (!complete(rest.splice(0, calls.length))) for (const listener of dropListeners) listener(notice);
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
    stepForNew,
    dropFailed,
    onDropped: (listener) => void dropListeners.push(listener),
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
