import { describe, expect, test } from 'vitest';
import type { Outcome } from '../../src/core/delivery/outcome.ts';
import { createEvents } from '../../src/core/events.ts';
import { createGmailVolume } from '../../src/core/gmail-volume.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';
import type { CreateStorage } from './usage-contract.ts';

/** An instance that counts what it sends. */
function openInstance({ sharedState }: Backend) {
  const events = createEvents();
  const warnings: [string, number][] = [];
  events.on('domain.near_bulk', (...warning) => warnings.push(warning));
  const volume = createGmailVolume({
    events,
    domains: new Set(['acme.com', 'gmail.com']),
    sharedState,
    onError: (error) => expect.unreachable(String(error)),
  });

  /** Reports an attempt that ended, of a message from this address. */
  function attempt(from: string, outcome: Outcome, patch: { test?: boolean; account?: string } = {}) {
    const { envelope } = aDelivery();
    const delivery = aDelivery({
      envelope: { ...envelope, from: { email: from, name: null } },
      recipients: [{ email: 'ada@gmail.com', status: 'pending', error: null, smtp: null }] as never,
      test: patch.test ?? false,
    });
    const { account = 'bot@acme.com' } = patch;
    const ended = { number: 1, startedAt: 1, endedAt: 2, account, smtp: null, error: null };
    events.emit('message.attempted', delivery, ended, outcome);
  }
  return { ...volume, warnings, attempt };
}

const ADA = anAcceptance(['ada@gmail.com']);

/**
 * What every backend promises of the messages that each domain sends to Gmail.
 *
 * @param isShared whether two instances may have the storage open
 */
export function gmailVolumeContract(name: string, createStorage: CreateStorage, isShared: boolean): void {
  describe(`messages to Gmail in ${name}`, () => {
    test('count for their From domain, one for each recipient that was accepted', async () => {
      const backend = await (await createStorage())();
      const { attempt, read } = openInstance(backend);
      attempt('bot@acme.com', ADA);
      attempt('help@acme.com', anAcceptance(['a@gmail.com', 'b@googlemail.com', 'c@example.com']));
      attempt('bot@acme.com', aFailure(aFault('connection_lost', { certain: false })));
      attempt('bot@acme.com', aFailure(aFault('connection_lost')));
      attempt('bot@acme.com', ADA, { test: true });
      expect(await read('acme.com')).toBe(4);
      attempt('me@elsewhere.test', ADA);
      expect([await read('acme.com'), await read('elsewhere.test')]).toEqual([5, 0]);
      attempt('me@gmail.com', ADA, { account: 'me@gmail.com' });
      expect(await read('gmail.com')).toBe(0);
      await backend.close();
    });

    test('are counted exactly by instances that send at once', async () => {
      const open = await createStorage();
      const backends = isShared ? [await open(), await open()] : [await open()];
      const instances = backends.map(openInstance);
      for (let round = 0; round < 20; round += 1) {
        for (const { attempt } of instances) for (let i = 0; i < 10; i += 1) attempt('bot@acme.com', ADA);
        await Promise.all(instances.map(({ read }) => read('acme.com')));
      }
      await Promise.all(instances.map(({ drain }) => drain()));
      for (const { read } of instances) expect(await read('acme.com')).toBe(200 * instances.length);
      await Promise.all(backends.map(({ close }) => close()));
    });

    test('are counted exactly, also those of another instance or an earlier process', async () => {
      const open = await createStorage();
      const first = await open();
      const one = openInstance(first);
      for (let i = 0; i < 3999; i += 1) one.attempt('bot@acme.com', ADA);
      await one.drain();
      expect(one.warnings).toEqual([]);
      if (!isShared) await first.close();
      const second = await open();
      const other = openInstance(second);
      expect(await other.read('acme.com')).toBe(3999);
      for (let i = 0; i < 20; i += 1) other.attempt('bot@acme.com', ADA);
      expect(await other.read('acme.com')).toBe(4019);
      other.attempt('bot@acme.com', ADA);
      await other.drain();
      expect(other.warnings).toEqual([['acme.com', 4019]]);
      if (isShared) await first.close();
      await second.close();
    });
  });
}
