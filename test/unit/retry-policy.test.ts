import { describe, expect, test } from 'vitest';
import type { Delivery } from '../../src/core/delivery/delivery.ts';
import { decideAfterAttempt, type RetryPolicy } from '../../src/core/dispatch/retry-policy.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';

const policy: RetryPolicy = {
  retryForMs: 86_400_000,
  onUncertain: 'retry',
  backoffScale: 1,
  random: () => 0.5,
};
const pending = (...emails: string[]) =>
  emails.map((email) => ({ email, status: 'pending' as const, smtp: null }));

function sending(attempts: number, patch: Partial<Delivery> = {}): Delivery {
  const attempt = { number: 1, startedAt: 0, endedAt: 1, account: 'bot@acme.com', smtp: null, error: null };
  return aDelivery({
    status: 'sending',
    recipients: pending('ada@example.com', 'bob@example.com'),
    attempts: Array(attempts).fill(attempt),
    ...patch,
  });
}

describe('after an attempt', () => {
  test('a 250 for every recipient settles as sent, each with the final reply', () => {
    const decision = decideAfterAttempt(
      sending(1),
      anAcceptance(['ada@example.com', 'bob@example.com']),
      policy,
    );
    expect(decision).toMatchObject({ kind: 'settle', status: 'sent', error: null });
    expect(decision.recipients.map(({ status, smtp }) => [status, smtp?.code])).toEqual([
      ['accepted', 250],
      ['accepted', 250],
    ]);
  });

  test('a 250 with one permanent refusal settles as partially_sent and names the refused recipient', () => {
    const refusal = {
      email: 'bob@example.com',
      fault: aFault('recipients_rejected', { retryable: false, scope: 'recipient' }),
    };
    const decision = decideAfterAttempt(sending(1), anAcceptance(['ada@example.com'], [refusal]), policy);
    expect(decision).toMatchObject({
      kind: 'settle',
      status: 'partially_sent',
      error: { code: 'recipients_rejected' },
    });
    expect(decision.error?.detail).toContain('bob@example.com');
  });

  test('a temporarily refused recipient is retried, an accepted one is not', () => {
    const refusal = {
      email: 'bob@example.com',
      fault: aFault('smtp_temporary_failure', { scope: 'recipient' }),
    };
    const decision = decideAfterAttempt(sending(1), anAcceptance(['ada@example.com'], [refusal]), policy);
    expect(decision).toMatchObject({ kind: 'again', afterMs: 5000 });
    expect(decision.recipients.map(({ status }) => status)).toEqual(['accepted', 'pending']);
  });

  test('of refused recipients, only the temporarily refused one is retried', () => {
    const forGood = {
      email: 'ada@example.com',
      fault: aFault('recipients_rejected', { retryable: false, scope: 'recipient' }),
    };
    const forNow = {
      email: 'bob@example.com',
      fault: aFault('smtp_temporary_failure', { scope: 'recipient' }),
    };
    const decision = decideAfterAttempt(sending(1), aFailure(forNow.fault, [forGood, forNow]), policy);
    expect(decision.kind).toBe('again');
    expect(decision.recipients.map(({ status }) => status)).toEqual(['rejected', 'pending']);
  });

  test('permanent refusals for the same reason settle as failed with that reason', () => {
    const fault = aFault('mailbox_full', { retryable: false, scope: 'recipient' });
    const refused = ['ada@example.com', 'bob@example.com'].map((email) => ({ email, fault }));
    expect(decideAfterAttempt(sending(1), aFailure(fault, refused), policy)).toMatchObject({
      status: 'failed',
      error: { code: 'mailbox_full' },
    });
  });

  test('permanent refusals for different reasons settle as failed with recipients_rejected', () => {
    const full = {
      email: 'ada@example.com',
      fault: aFault('mailbox_full', { retryable: false, scope: 'recipient' }),
    };
    const gone = {
      email: 'bob@example.com',
      fault: aFault('recipients_rejected', { retryable: false, scope: 'recipient' }),
    };
    expect(decideAfterAttempt(sending(1), aFailure(gone.fault, [full, gone]), policy)).toMatchObject({
      status: 'failed',
      error: { code: 'recipients_rejected' },
    });
  });

  describe('a message with a suppressed recipient', () => {
    const smtp = { code: 550, enhanced: '5.1.1', response: 'No such user' };
    const suppressed = { email: 'eve@example.com', status: 'suppressed' as const, smtp };
    const delivery = sending(1, {
      recipients: [...pending('ada@example.com', 'bob@example.com'), suppressed],
    });
    const gone = {
      email: 'bob@example.com',
      fault: aFault('mailbox_full', { retryable: false, scope: 'recipient' }),
    };

    test('settles as partially_sent when all others are accepted, and names the suppressed one', () => {
      const decision = decideAfterAttempt(
        delivery,
        anAcceptance(['ada@example.com', 'bob@example.com']),
        policy,
      );
      expect(decision).toMatchObject({
        kind: 'settle',
        status: 'partially_sent',
        error: { code: 'recipient_suppressed', smtp },
      });
      expect(decision.error?.detail).toBe('Not sent to: eve@example.com (1 of 3 recipients).');
      expect(decision.recipients.at(-1)).toEqual(suppressed);
    });

    test('has one error that names the refused and the suppressed recipient', () => {
      const decision = decideAfterAttempt(delivery, anAcceptance(['ada@example.com'], [gone]), policy);
      expect(decision).toMatchObject({
        kind: 'settle',
        status: 'partially_sent',
        error: { code: 'mailbox_full' },
      });
      expect(decision.error?.detail).toBe(
        'Refused: bob@example.com (1 of 3 recipients). Not sent to: eve@example.com (1 of 3 recipients).',
      );
    });

    test('settles as failed when the only other recipient is refused', () => {
      const recipients = [...pending('bob@example.com'), suppressed];
      const decision = decideAfterAttempt(sending(1, { recipients }), aFailure(gone.fault, [gone]), policy);
      expect(decision).toMatchObject({ kind: 'settle', status: 'failed', error: { code: 'mailbox_full' } });
      expect(decision.error?.detail).toContain('Not sent to: eve@example.com (1 of 2 recipients).');
    });

    test('keeps its suppressed recipient when the others are retried', () => {
      const decision = decideAfterAttempt(delivery, aFailure(aFault('connection_lost')), policy);
      expect(decision.kind).toBe('again');
      expect(decision.recipients.map(({ status }) => status)).toEqual(['pending', 'pending', 'suppressed']);
    });
  });

  test('a permanent refusal of the message rejects pending recipients and keeps accepted ones', () => {
    const recipients = [
      { email: 'ada@example.com', status: 'accepted' as const, smtp: null },
      ...pending('bob@example.com'),
    ];
    const decision = decideAfterAttempt(
      sending(2, { recipients }),
      aFailure(aFault('content_rejected', { retryable: false })),
      policy,
    );
    expect(decision).toMatchObject({
      kind: 'settle',
      status: 'partially_sent',
      error: { code: 'content_rejected' },
    });
  });

  test.each([
    [1, 5000],
    [2, 30_000],
    [3, 120_000],
    [4, 600_000],
    [5, 1_800_000],
    [6, 3_600_000],
    [20, 3_600_000],
  ])('the back-off after attempt %i with a connection fault is %i ms', (attempts, afterMs) => {
    expect(decideAfterAttempt(sending(attempts), aFailure(aFault('connection_lost')), policy)).toMatchObject({
      kind: 'again',
      afterMs,
    });
  });

  test('a reply may suggest its own waits, and the last one repeats', () => {
    const fault = aFault('mailbox_full', { backoffMs: [1000, 2000] });
    const waits = [1, 2, 3].map((attempts) => decideAfterAttempt(sending(attempts), aFailure(fault), policy));
    expect(waits.map((decision) => 'afterMs' in decision && decision.afterMs)).toEqual([1000, 2000, 2000]);
  });

  test('a suggested immediate retry is honoured once', () => {
    const fault = aFault('smtp_temporary_failure', { backoffMs: [0] });
    const waits = [1, 2].map((attempts) => decideAfterAttempt(sending(attempts), aFailure(fault), policy));
    expect(waits.map((decision) => 'afterMs' in decision && decision.afterMs)).toEqual([0, 30_000]);
  });

  test('jitter spreads waits by a fifth either way', () => {
    const waits = [0, 1].map((random) =>
      decideAfterAttempt(sending(1), aFailure(aFault('connection_lost')), {
        ...policy,
        random: () => random,
      }),
    );
    expect(waits.map((decision) => 'afterMs' in decision && decision.afterMs)).toEqual([4000, 6000]);
  });

  test('the last wait is cut to the rest of RETRY_FOR, then the message fails with retries_exhausted', () => {
    const fault = aFault('connect_failed');
    const short = { ...policy, retryForMs: 8000 };
    expect(decideAfterAttempt(sending(2, { retriedForMs: 5000 }), aFailure(fault), short)).toMatchObject({
      kind: 'again',
      afterMs: 3000,
    });
    const decision = decideAfterAttempt(sending(3, { retriedForMs: 8000 }), aFailure(fault), short);
    expect(decision).toMatchObject({
      kind: 'settle',
      status: 'failed',
      error: { code: 'retries_exhausted' },
    });
    expect(decision.error?.detail).toContain('connect_failed');
  });

  test('an uncertain attempt is retried with possibleDuplicate', () => {
    const lost = aFailure(aFault('connection_lost', { certain: false }));
    expect(decideAfterAttempt(sending(1), lost, policy)).toMatchObject({
      kind: 'again',
      possibleDuplicate: true,
    });
  });

  test('an uncertain attempt settles as uncertain with ON_UNCERTAIN=hold', () => {
    const lost = aFailure(aFault('connection_lost', { certain: false }));
    expect(decideAfterAttempt(sending(1), lost, { ...policy, onUncertain: 'hold' })).toMatchObject({
      kind: 'settle',
      status: 'uncertain',
      error: { code: 'delivery_uncertain' },
    });
  });

  test('later attempts keep possibleDuplicate', () => {
    const decision = decideAfterAttempt(
      sending(2, { possibleDuplicate: true }),
      aFailure(aFault('connection_lost')),
      policy,
    );
    expect(decision).toMatchObject({ kind: 'again', possibleDuplicate: true });
  });
});
