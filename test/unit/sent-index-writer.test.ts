import { expect, test, vi } from 'vitest';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import { startSentIndexWriter } from '../../src/core/inbound/sent-index-writer.ts';
import type { SentMail } from '../../src/core/ports/sent-index.ts';
import { aDelivery, anAttempt } from '../helpers/delivery.ts';

const RECIPIENTS = (['accepted', 'rejected', 'pending', 'suppressed', 'bounced'] as const).map((status) => ({
  email: `${status}@example.com`,
  status,
  smtp: null,
}));

function start(add: (mails: readonly SentMail[]) => Promise<void>) {
  const events = createEvents();
  const errors: unknown[] = [];
  const writer = startSentIndexWriter({ events, sentIndex: { add }, onError: (error) => errors.push(error) });
  return { events, errors, ...writer };
}

test('adds what was sent in the last second, with the recipients that can bounce', async () => {
  const writes: (readonly SentMail[])[] = [];
  const { events, drain } = start(async (mails) => void writes.push(mails));
  const settle = (patch: Parameters<typeof aDelivery>[0]) =>
    events.emit('message.settled', aDelivery({ recipients: RECIPIENTS, ...patch }));
  settle({ id: 'msg_sent', status: 'sent' });
  settle({ id: 'msg_uncertain', status: 'uncertain', attempts: [anAttempt()] });
  settle({ id: 'msg_test', status: 'sent', test: true });
  settle({ id: 'msg_canceled', status: 'canceled', recipients: RECIPIENTS.slice(2) });
  expect(writes).toEqual([]);
  await vi.waitFor(() => expect(writes).toHaveLength(1), 5000);
  const about = { owner: 'crm', account: 'bot@acme.com' };
  expect(writes[0]).toEqual([
    { ...about, id: 'msg_sent', recipients: ['accepted@example.com'] },
    { ...about, id: 'msg_uncertain', recipients: ['accepted@example.com', 'pending@example.com'] },
  ]);
  settle({ id: 'msg_last', status: 'sent' });
  await drain();
  expect(writes[1]).toMatchObject([{ id: 'msg_last' }]);
  settle({ id: 'msg_late', status: 'sent' });
  await drain();
  expect(writes).toHaveLength(2);
});

test('adds them when the backend is available again, and reports any other error', async () => {
  const ids: string[] = [];
  const failures = [new AppError('queue_unavailable'), new Error('broken')];
  const { events, errors, drain } = start(async (mails) => {
    const failure = failures.shift();
    if (failure) throw failure;
    ids.push(...mails.map(({ id }) => id));
  });
  const accepted = RECIPIENTS.slice(0, 1);
  for (let i = 0; i < 150; i += 1)
    events.emit('message.settled', aDelivery({ id: `msg_${i}`, status: 'sent', recipients: accepted }));
  await vi.waitFor(() => expect(ids).toHaveLength(50), 5000);
  expect(ids[0]).toBe('msg_100');
  expect(errors).toMatchObject([{ message: 'broken' }]);
  await drain();
});
