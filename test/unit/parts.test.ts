import { describe, expect, onTestFinished, test } from 'vitest';
import type { Job, Outcome } from '../../src/core/delivery/outcome.ts';
import { type Core, type Send, startCore } from '../helpers/core.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';

const TOO_MANY = { ...aFault('smtp_temporary_failure', { backoffMs: [0, 5000] }), splits: true as const };
const NO_SUCH_USER = aFault('recipients_rejected', { scope: 'recipient', retryable: false });
const people = (count: number) => Array.from({ length: count }, (_, i) => `p${i}@example.com`);

function start(send: Send): Core {
  const core = startCore(send, { backoffScale: 1 });
  onTestFinished(() => core[Symbol.asyncDispose]());
  return core;
}

/** Accepts `atMost` recipients, and refuses each further one until another transaction. */
function accepts(atMost: number) {
  return ({ recipients }: Job): Outcome => {
    const refused = recipients
      .slice(atMost)
      .map((email) => ({ email, fault: { ...TOO_MANY, scope: 'recipient' as const } }));
    return anAcceptance(recipients.slice(0, atMost), refused);
  };
}

/** Refuses the whole message if it has more than `atMost` recipients. */
function refusesOver(atMost: number) {
  return ({ recipients }: Job): Outcome =>
    recipients.length > atMost ? aFailure(TOO_MANY) : anAcceptance(recipients);
}

describe('a message with more recipients than the server accepts at once', () => {
  test.each([
    ['when each extra recipient is refused', accepts(30), [100, 30, 30, 10]],
    ['when the whole message is refused', refusesOver(30), [100, 50, 25, 25, 25, 25]],
  ])(
    '%s, is sent in several transactions without a wait, to each recipient once',
    async (_how, send, sizes) => {
      const core = start(send);
      const { id } = await core.accept({ to: people(100) });
      expect(await core.outcomeOf(id)).toMatchObject({
        status: 'sent',
        error: null,
        possibleDuplicate: false,
      });
      expect(core.jobs.map(({ recipients }) => recipients.length).slice(0, sizes.length)).toEqual(sizes);
      expect(new Set(core.jobs.map(({ messageId }) => messageId)).size).toBe(1);
      const delivery = await core.store.get(id);
      expect(delivery?.recipients.every(({ status }) => status === 'accepted')).toBe(true);
      expect((await core.accounts.list())[0]?.quota.recipients.used).toBe(100);
    },
  );

  test('settles as partially_sent if a recipient is refused permanently', async () => {
    const core = start(({ recipients }) => {
      if (recipients.length > 5) return aFailure(TOO_MANY);
      const refused = recipients
        .filter((email) => email === 'p7@example.com')
        .map((email) => ({ email, fault: NO_SUCH_USER }));
      const accepted = recipients.filter((email) => email !== 'p7@example.com');
      return accepted.length > 0 ? anAcceptance(accepted, refused) : aFailure(NO_SUCH_USER, refused);
    });
    const { id } = await core.accept({ to: people(10) });
    const delivery = await core.outcomeOf(id);
    expect(delivery).toMatchObject({ status: 'partially_sent', error: { code: 'recipients_rejected' } });
    expect(
      delivery.recipients.filter(({ status }) => status === 'rejected').map(({ email }) => email),
    ).toEqual(['p7@example.com']);
  });

  test('backs off if the server refuses even a single recipient', async () => {
    const core = start(() => aFailure(TOO_MANY));
    const { id } = await core.accept({ to: people(4) });
    await expect.poll(() => core.jobs.map(({ recipients }) => recipients.length)).toEqual([4, 2, 1]);
    await expect.poll(async () => (await core.store.get(id))?.status).toBe('deferred');
    expect((await core.store.get(id))?.nextAttemptAt).toBeGreaterThan(Date.now() + 1000);
  });
});
