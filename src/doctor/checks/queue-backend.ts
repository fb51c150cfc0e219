import { resolve } from 'node:path';
import type { QueueUrl } from '../../config/queue-url.ts';
import { type Check, type Finding, fail, pass, skip, toCheck, warn } from '../report.ts';
import type { TroubleshootingId } from '../troubleshooting.ts';
import { split } from './configuration.ts';
import { timed } from './network.ts';

const ABOUT = { id: 'queue', name: 'Queue', target: 'QUEUE_URL' } as const;

/** Whether the service could use what QUEUE_URL names. Changes nothing there. */
export async function checkQueueBackend(url: QueueUrl): Promise<Check[]> {
  switch (url.kind) {
    case 'memory':
      return [toCheck(ABOUT, skip('nothing to check: the queue is in memory'))];
    case 'sqlite':
      return [await timed(ABOUT, () => inspectSqlite(url.file))];
    case 'redis':
      return examineRedis(url.url);
  }
}

async function inspectSqlite(file: string): Promise<Finding> {
  const path = resolve(file);
  const { checkFile } = await import('../../adapters/sqlite/file-check.ts');
  try {
    switch (checkFile(path)) {
      case 'ready':
        return pass(`${path} can be read and written`);
      case 'new':
        return pass(`${path} does not exist yet, and can be created`);
      case 'in_use':
        return pass(`${path} is in use by another process: the service, if it is running`);
    }
  } catch (error) {
    return unusable('sqlite_unusable', error);
  }
}

async function examineRedis(url: string): Promise<Check[]> {
  const { connect, disconnect } = await import('../../adapters/redis/connection/connect.ts');
  const { checkServer } = await import('../../adapters/redis/connection/server-check.ts');
  const { host } = new URL(url);
  let warnings: readonly string[] = [];
  const check = await timed(ABOUT, async () => {
    try {
      const connections = await connect(url);
      try {
        warnings = await checkServer(connections.redis);
        return pass(`Redis at ${host} responds, and its version can be used`);
      } finally {
        disconnect(connections);
      }
    } catch (error) {
      return unusable('redis_unusable', error);
    }
  });
  return [check, ...warnings.map((warning) => toCheck(ABOUT, warn('redis_unsafe', warning)))];
}

/** No message of an adapter has the URL, which may hold a password. */
function unusable(id: TroubleshootingId, error: unknown): Finding {
  const { what, mend } = split(error instanceof Error ? error.message : String(error));
  const finding = fail(id, what);
  return { ...finding, advice: mend ?? finding.advice };
}
