import { describe, expect, test } from 'vitest';
import { type Delivery, STATUSES } from '../../src/core/delivery/delivery.ts';
import { createDeliveryChanges } from '../../src/core/delivery-changes.ts';
import type { ErrorCode } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import type { Notice } from '../../src/core/ports/outbox.ts';
import { aBackend, CALLER, startCore } from '../helpers/core.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

const noticesOf = ({ id, status }: Delivery): Notice[] => [aNotice({ about: id, type: `message.${status}` })];

const waiting = (code: ErrorCode): Delivery =>
  aDelivery({
    status: 'deferred',
    error: { code, scope: 'message', detail: '', hint: '', smtp: null },
  });

/** Returns the type of the notice of a change, and the event that it emits. */
function reportOf(from: Delivery, to: Delivery): (string | undefined)[] {
  const events = createEvents();
  const emitted: string[] = [];
  for (const event of ['message.settled', 'message.deferred'] as const)
    events.on(event, ({ status }) => emitted.push(status));
  const changes = createDeliveryChanges({ events, noticesOf });
  const change = changes.plan(from, to, null);
  changes.announce(change);
  return [change.notices[0]?.type, emitted[0]];
}

describe('a change has notices and emits its event', () => {
  test.each(STATUSES.map((status) => [status] as const))('to %s', (status) => {
    const isReported = !['scheduled', 'queued', 'sending'].includes(status);
    const expected = isReported ? [`message.${status}`, status] : [undefined, undefined];
    expect(reportOf(aDelivery({ status: 'sending' }), aDelivery({ status }))).toEqual(expected);
  });

  test('once for each reason to wait', () => {
    const [throttled, unreachable] = [waiting('throttled'), waiting('connect_failed')];
    expect(reportOf(throttled, { ...throttled, revision: 2 })).toEqual([undefined, undefined]);
    expect(reportOf(throttled, unreachable)).toEqual(['message.deferred', 'deferred']);
  });
});

test('a cancellation is stored with its notice', async () => {
  const backend = aBackend();
  await using core = startCore(() => Promise.reject(new Error('unused')), {
    backend,
    dispatch: false,
    noticesOf,
  });
  const { id } = await core.accept();
  await core.messages.cancel(id, CALLER);
  const types: string[] = [];
  for await (const { type } of backend.outbox.pending()) types.push(type);
  expect(types).toEqual(['message.canceled']);
});
