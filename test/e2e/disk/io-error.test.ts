import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Simulator } from '../../../src/simulator/simulator.ts';
import { between, type Random } from '../../crash/random.ts';
import { startReceiver } from '../../crash/receiver.ts';
import { runUnderFaults, settleAndReport } from '../../crash/run.ts';
import type { TestBed } from '../../crash/test-bed.ts';
import { APP_PASSWORD } from '../../helpers/service.ts';
import { startSimulator } from '../../helpers/smtp/simulator-session.ts';
import { countFailures, type Faults, startWithFaults } from './faulty-disk.ts';
import { isInstalled } from './instance.ts';

describe.runIf(isInstalled('fiu-run'))(
  'while writes and syncs of the file fail at random (skipped without fiu-run)',
  () => {
    test('no accepted message is lost, and every duplicate is reported', { timeout: 120_000 }, async () => {
      // With this seed the service is killed while its disk fails, and at the end.
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

    test('no accepted message is lost when the log is checkpointed meanwhile', {
      timeout: 60_000,
    }, async () => {
      const folder = await mkdtemp(join(tmpdir(), 'ot5-eio-'));
      onTestFinished(() => rm(folder, { recursive: true }));
      await using gmail = await startSimulator({ password: APP_PASSWORD });
      const file = join(folder, 'queue.db');
      const text = 'A long message. '.repeat(20_000);
      const accepted: string[] = [];
      {
        await using service = await startWithFaults({ smtp: gmail, file }, folder, '3');
        service.fail({ fsync: 0.05, pwrite: 0.0005, 'pwrite/reduce': 0.01 });
        const client = async () => {
          // The log is checkpointed every 8 MB.
          for (let left = 15; left > 0; left--) {
            const { status, body } = await service.send({
              to: 'ada@example.com',
              subject: 'x',
              text,
              scheduled_at: new Date(Date.now() + 3_600_000),
            });
            if (status === 202) accepted.push(body.id);
            else expect(body.code).toBe('queue_unavailable');
            if (status !== 202)
              await expect
                .poll(async () => (await service.request('/readyz')).status, { timeout: 10_000 })
                .toBe(200);
          }
        };
        await Promise.all(Array.from({ length: 8 }, client));
        expect(countFailures(service)).toBeGreaterThan(0);
        expect((await stat(file)).size).toBeGreaterThan(1_000_000);
        await service.kill();
      }
      const db = new DatabaseSync(file);
      expect(db.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }]);
      const stored = db
        .prepare('SELECT id FROM deliveries JOIN contents USING (place) WHERE length(content) > ?')
        .all(text.length);
      db.close();
      expect(accepted.filter((id) => !stored.some((row) => row.id === id))).toEqual([]);
    });
  },
);

const FREQUENT: Faults = { fsync: 0.2, pwrite: 0.02, 'pwrite/reduce': 0.05 };

/**
 * Makes the disk fail for a while at each fault. Sometimes the service is killed before the disk
 * recovers.
 */
async function openTestBed(
  folder: string,
  gmail: Simulator,
  seed: string,
): Promise<TestBed & { readonly failures: () => number }> {
  const receiver = await startReceiver(seed);
  const setup = { smtp: gmail, file: join(folder, 'queue.db'), env: receiver.env };
  const start = () => startWithFaults(setup, folder, seed);
  let service = await start();
  let failures = 0;

  async function restart(): Promise<void> {
    await service.kill();
    failures += countFailures(service);
    service = await start();
  }

  return {
    gmail,
    receiver,
    timing: { acknowledged() {}, rest: (ms) => sleep(ms) },
    url: () => service.url,
    async injectFault(random: Random) {
      await sleep(between(random, 100, 500));
      service.fail(FREQUENT);
      await sleep(between(random, 500, 1500));
      if (random() < 0.3) await restart();
      else service.heal();
    },
    restart,
    failures: () => failures,
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      await receiver[Symbol.asyncDispose]();
    },
  };
}
