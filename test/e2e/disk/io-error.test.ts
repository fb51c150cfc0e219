import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Simulator } from '../../../src/simulator/simulator.ts';
import { between, type Random } from '../../crash/random.ts';
import { runUnderFaults, settleAndReport } from '../../crash/run.ts';
import type { TestBed } from '../../crash/test-bed.ts';
import { APP_PASSWORD } from '../../helpers/service.ts';
import { startSimulator } from '../../helpers/smtp/simulator-session.ts';
import { type Faults, failuresOf, startFailing } from './failing.ts';
import { isThere } from './instance.ts';

describe.runIf(isThere('fiu-run'))(
  'while writes and syncs of the file fail now and then (skipped where there is no fiu-run)',
  () => {
    test('nothing acknowledged is lost, and no second copy goes untold', { timeout: 120_000 }, async () => {
      // The numbers that follow from it kill the service while its disk fails, and at the end.
      const seed = '2';
      const folder = await mkdtemp(join(tmpdir(), 'ot5-eio-'));
      onTestFinished(() => rm(folder, { recursive: true }));
      await using gmail = await startSimulator({ password: APP_PASSWORD, retain: Number.POSITIVE_INFINITY });
      await using testBed = await openTestBed(folder, gmail, seed);
      const clients = await runUnderFaults(testBed, seed);
      const { violations, tally } = await settleAndReport(testBed, clients, seed);
      expect(violations).toEqual([]);
      expect(tally.sent).toBeGreaterThan(0);
      expect(testBed.failures()).toBeGreaterThan(0);
    });

    test('nor is anything when the log is folded into the database meanwhile', {
      timeout: 60_000,
    }, async () => {
      const folder = await mkdtemp(join(tmpdir(), 'ot5-eio-'));
      onTestFinished(() => rm(folder, { recursive: true }));
      await using gmail = await startSimulator({ password: APP_PASSWORD });
      const file = join(folder, 'queue.db');
      const text = 'A long message. '.repeat(20_000);
      const acknowledged: string[] = [];
      {
        await using service = await startFailing({ smtp: gmail, file }, folder, '3');
        service.fail({ fsync: 0.05, pwrite: 0.0005, 'pwrite/reduce': 0.01 });
        const client = async () => {
          // The log is folded every 8 MB.
          for (let left = 15; left > 0; left--) {
            const { status, body } = await service.send({
              to: 'ada@example.com',
              subject: 'x',
              text,
              scheduled_at: new Date(Date.now() + 3_600_000),
            });
            if (status === 202) acknowledged.push(body.id);
            else expect(body.code).toBe('queue_unavailable');
            if (status !== 202)
              await expect
                .poll(async () => (await service.request('/readyz')).status, { timeout: 10_000 })
                .toBe(200);
          }
        };
        await Promise.all(Array.from({ length: 8 }, client));
        expect(failuresOf(service)).toBeGreaterThan(0);
        expect((await stat(file)).size).toBeGreaterThan(1_000_000);
        await service.kill();
      }
      const db = new DatabaseSync(file);
      expect(db.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }]);
      const kept = db
        .prepare('SELECT id FROM deliveries JOIN contents USING (place) WHERE length(content) > ?')
        .all(text.length);
      db.close();
      expect(acknowledged.filter((id) => !kept.some((row) => row.id === id))).toEqual([]);
    });
  },
);

const OFTEN: Faults = { fsync: 0.2, pwrite: 0.02, 'pwrite/reduce': 0.05 };

/** The disk fails when it is struck, and sometimes the service is killed before that is over. */
async function openTestBed(
  folder: string,
  gmail: Simulator,
  seed: string,
): Promise<TestBed & { readonly failures: () => number }> {
  const start = () => startFailing({ smtp: gmail, file: join(folder, 'queue.db') }, folder, seed);
  let service = await start();
  let failures = 0;

  async function restart(): Promise<void> {
    await service.kill();
    failures += failuresOf(service);
    service = await start();
  }

  return {
    gmail,
    timing: { acknowledged() {}, rest: (ms) => sleep(ms) },
    url: () => service.url,
    async injectFault(random: Random) {
      await sleep(between(random, 100, 500));
      service.fail(OFTEN);
      await sleep(between(random, 500, 1500));
      if (random() < 0.3) await restart();
      else service.heal();
    },
    restart,
    failures: () => failures,
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}
