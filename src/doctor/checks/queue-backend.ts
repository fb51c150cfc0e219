import { resolve } from 'node:path';
import type { QueueUrl } from '../../config/queue-url.ts';
import type { RunningService } from '../../core/ports/doctor-report.ts';
import { type Check, type CheckResult, fail, pass, runCheck, skip, toCheck, warn } from '../check.ts';
import type { TroubleshootingId } from '../troubleshooting.ts';
import { splitProblem } from './configuration.ts';

const SUBJECT = { id: 'queue', name: 'Queue', target: 'QUEUE_URL' } as const;

/**
 * Checks whether the service can use the queue backend of QUEUE_URL. Writes nothing to it. Does not
 * open a file that a service in this process has open: closing it would release SQLite's lock.
 */
export async function checkQueueBackend(url: QueueUrl, service: RunningService | null): Promise<Check[]> {
  switch (url.kind) {
    case 'memory':
      return [toCheck(SUBJECT, skip('nothing to check: the queue is in memory'))];
    case 'sqlite':
      return [await runCheck(SUBJECT, () => (service ? checkOpenFile(service) : checkSqlite(url.file)))];
    case 'redis':
      return checkRedis(url.url);
  }
}

function checkOpenFile(service: RunningService): CheckResult {
  return service.isQueueAvailable()
    ? pass('the service reads and writes its file')
    : fail('sqlite_unusable', 'the file cannot be read or written now; the log has the reason');
}

async function checkSqlite(file: string): Promise<CheckResult> {
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

async function checkRedis(url: string): Promise<Check[]> {
  const { connect, disconnect } = await import('../../adapters/redis/connection/connect.ts');
  const { checkServer } = await import('../../adapters/redis/connection/server-check.ts');
  const { host } = new URL(url);
  let warnings: readonly string[] = [];
  const check = await runCheck(SUBJECT, async () => {
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
  return [check, ...warnings.map((warning) => toCheck(SUBJECT, warn('redis_unsafe', warning)))];
}

/** Messages of adapters never contain the URL, which may include a password. */
function unusable(id: TroubleshootingId, error: unknown): CheckResult {
  const { problem, fix } = splitProblem(error instanceof Error ? error.message : String(error));
  const result = fail(id, problem);
  return { ...result, advice: fix ?? result.advice };
}
