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

describe('what follows from an attempt', () => {
  test('a 250 for every recipient is sent, each with the final reply', () => {
    const verdict = decideAfterAttempt(
      sending(1),
      anAcceptance(['ada@example.com', 'bob@example.com']),
      policy,
    );
    expect(verdict).toMatchObject({ kind: 'settle', status: 'sent', error: null });
    expect(verdict.recipients.map(({ status, smtp }) => [status, smtp?.code])).toEqual([
      ['accepted', 250],
      ['accepted', 250],
    ]);
  });

  test('a 250 with one recipient refused for good is partially sent and names the refused one', () => {
    const refusal = {
      email: 'bob@example.com',
      fault: aFault('recipients_rejected', { retryable: false, scope: 'recipient' }),
    };
    const verdict = decideAfterAttempt(sending(1), anAcceptance(['ada@example.com'], [refusal]), policy);
    expect(verdict).toMatchObject({
      kind: 'settle',
      status: 'partially_sent',
      error: { code: 'recipients_rejected' },
    });
    expect(verdict.error?.detail).toContain('bob@example.com');
  });

  test('a recipient refused for now is tried again, the accepted one is not', () => {
    const refusal = {
      email: 'bob@example.com',
      fault: aFault('smtp_temporary_failure', { scope: 'recipient' }),
    };
    const verdict = decideAfterAttempt(sending(1), anAcceptance(['ada@example.com'], [refusal]), policy);
    expect(verdict).toMatchObject({ kind: 'again', afterMs: 5000 });
    expect(verdict.recipients.map(({ status }) => status)).toEqual(['accepted', 'pending']);
  });

  test('all refused, one of them for now: the others are settled, that one is tried again', () => {
    const forGood = {
      email: 'ada@example.com',
      fault: aFault('recipients_rejected', { retryable: false, scope: 'recipient' }),
    };
    const forNow = {
      email: 'bob@example.com',
      fault: aFault('smtp_temporary_failure', { scope: 'recipient' }),
    };
    const verdict = decideAfterAttempt(sending(1), aFailure(forNow.fault, [forGood, forNow]), policy);
    expect(verdict.kind).toBe('again');
    expect(verdict.recipients.map(({ status }) => status)).toEqual(['rejected', 'pending']);
  });

  test('all refused for good for the same reason fails with that reason', () => {
    const fault = aFault('mailbox_full', { retryable: false, scope: 'recipient' });
    const refused = ['ada@example.com', 'bob@example.com'].map((email) => ({ email, fault }));
    expect(decideAfterAttempt(sending(1), aFailure(fault, refused), policy)).toMatchObject({
      status: 'failed',
      error: { code: 'mailbox_full' },
    });
  });

  test('all refused for good for different reasons fails with recipients_rejected', () => {
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

  describe('with a recipient who is suppressed', () => {
    const smtp = { code: 550, enhanced: '5.1.1', response: 'No such user' };
    const suppressed = { email: 'eve@example.com', status: 'suppressed' as const, smtp };
    const delivery = sending(1, {
      recipients: [...pending('ada@example.com', 'bob@example.com'), suppressed],
    });
    const gone = {
      email: 'bob@example.com',
      fault: aFault('mailbox_full', { retryable: false, scope: 'recipient' }),
    };

    test('all others accepted is partially sent, and says who is missed and why', () => {
      const verdict = decideAfterAttempt(
        delivery,
        anAcceptance(['ada@example.com', 'bob@example.com']),
        policy,
      );
      expect(verdict).toMatchObject({
        kind: 'settle',
        status: 'partially_sent',
        error: { code: 'recipient_suppressed', smtp },
      });
      expect(verdict.error?.detail).toBe('Not sent to: eve@example.com (1 of 3 recipients).');
      expect(verdict.recipients.at(-1)).toEqual(suppressed);
    });

    test('and another refused has one error, of the refusal, that names both', () => {
      const verdict = decideAfterAttempt(delivery, anAcceptance(['ada@example.com'], [gone]), policy);
      expect(verdict).toMatchObject({
        kind: 'settle',
        status: 'partially_sent',
        error: { code: 'mailbox_full' },
      });
      expect(verdict.error?.detail).toBe(
        'Refused: bob@example.com (1 of 3 recipients). Not sent to: eve@example.com (1 of 3 recipients).',
      );
    });

    test('and the only other refused has failed', () => {
      const recipients = [...pending('bob@example.com'), suppressed];
      const verdict = decideAfterAttempt(sending(1, { recipients }), aFailure(gone.fault, [gone]), policy);
      expect(verdict).toMatchObject({ kind: 'settle', status: 'failed', error: { code: 'mailbox_full' } });
      expect(verdict.error?.detail).toContain('Not sent to: eve@example.com (1 of 2 recipients).');
    });

    test('waits with the others for another try', () => {
      const verdict = decideAfterAttempt(delivery, aFailure(aFault('connection_lost')), policy);
      expect(verdict.kind).toBe('again');
      expect(verdict.recipients.map(({ status }) => status)).toEqual(['pending', 'pending', 'suppressed']);
    });
  });

  test('a message refused for good rejects everyone still pending and keeps those accepted before', () => {
    const recipients = [
      { email: 'ada@example.com', status: 'accepted' as const, smtp: null },
      ...pending('bob@example.com'),
    ];
    const verdict = decideAfterAttempt(
      sending(2, { recipients }),
      aFailure(aFault('content_rejected', { retryable: false })),
      policy,
    );
    expect(verdict).toMatchObject({
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
  ])('after attempt %i a connection fault waits %i ms', (attempts, afterMs) => {
    expect(decideAfterAttempt(sending(attempts), aFailure(aFault('connection_lost')), policy)).toMatchObject({
      kind: 'again',
      afterMs,
    });
  });

  test('a reply may suggest its own waits, the last of which repeats', () => {
    const fault = aFault('mailbox_full', { backoffMs: [1000, 2000] });
    const waits = [1, 2, 3].map((attempts) => decideAfterAttempt(sending(attempts), aFailure(fault), policy));
    expect(waits.map((verdict) => 'afterMs' in verdict && verdict.afterMs)).toEqual([1000, 2000, 2000]);
  });

  test('a reply that says to come back at once is believed once', () => {
    const fault = aFault('smtp_temporary_failure', { backoffMs: [0] });
    const waits = [1, 2].map((attempts) => decideAfterAttempt(sending(attempts), aFailure(fault), policy));
    expect(waits.map((verdict) => 'afterMs' in verdict && verdict.afterMs)).toEqual([0, 30_000]);
  });

  test('waits are spread by a fifth either way', () => {
    const waits = [0, 1].map((random) =>
      decideAfterAttempt(sending(1), aFailure(aFault('connection_lost')), {
        ...policy,
        random: () => random,
      }),
    );
    expect(waits.map((verdict) => 'afterMs' in verdict && verdict.afterMs)).toEqual([4000, 6000]);
  });

  test('the last wait is cut to what RETRY_FOR leaves, and then it gives up with retries_exhausted', () => {
    const fault = aFault('connect_failed');
    const short = { ...policy, retryForMs: 8000 };
    expect(decideAfterAttempt(sending(2, { retriedForMs: 5000 }), aFailure(fault), short)).toMatchObject({
      kind: 'again',
      afterMs: 3000,
    });
    const verdict = decideAfterAttempt(sending(3, { retriedForMs: 8000 }), aFailure(fault), short);
    expect(verdict).toMatchObject({ kind: 'settle', status: 'failed', error: { code: 'retries_exhausted' } });
    expect(verdict.error?.detail).toContain('connect_failed');
  });

  test('an uncertain attempt is tried again and says that there may be two', () => {
    const lost = aFailure(aFault('connection_lost', { certain: false }));
    expect(decideAfterAttempt(sending(1), lost, policy)).toMatchObject({
      kind: 'again',
      possibleDuplicate: true,
    });
  });

  test('with ON_UNCERTAIN=hold an uncertain attempt waits for a person', () => {
    const lost = aFailure(aFault('connection_lost', { certain: false }));
    expect(decideAfterAttempt(sending(1), lost, { ...policy, onUncertain: 'hold' })).toMatchObject({
      kind: 'settle',
      status: 'uncertain',
      error: { code: 'delivery_uncertain' },
    });
  });

  test('once there may be two, later attempts do not unsay it', () => {
    const verdict = decideAfterAttempt(
      sending(2, { possibleDuplicate: true }),
      aFailure(aFault('connection_lost')),
      policy,
    );
    expect(verdict).toMatchObject({ kind: 'again', possibleDuplicate: true });
  });
});
