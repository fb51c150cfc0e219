import type { Attempt, Delivery } from '../../src/core/delivery/delivery.ts';
import { AppError, type ErrorCode } from '../../src/core/errors.ts';
import { MAILBOX_CODES } from '../../src/core/ports/mailbox.ts';
import { MAIL } from '../helpers/app.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { type ServiceClient, TOMORROW } from '../helpers/openapi-client.ts';
import { aFault } from '../helpers/outcome.ts';
import {
  ADMIN,
  ANY_TICKET,
  onService,
  type Row,
  SMALL_QUEUE,
  whileDraining,
  withEnv,
  withParts,
} from './rows.ts';

/** Sends a message and waits until it is settled. */
async function settled({ callJson }: ServiceClient, to = 'ada@example.com') {
  const { id } = await callJson('send', { body: { ...MAIL, to }, headers: { prefer: 'wait=15' } });
  return { path: { id } };
}

async function failed({ callJson }: ServiceClient, to: string) {
  const problem = await callJson('send', { body: { ...MAIL, to }, headers: { prefer: 'wait=15' } });
  return { path: { id: problem.message.id } };
}

async function scheduled({ callJson }: ServiceClient) {
  const { id } = await callJson('send', { body: { ...MAIL, scheduled_at: TOMORROW } });
  return { path: { id } };
}

/** An attempt that Sent Mail has confirmed. */
const CONFIRMED: Attempt = {
  number: 1,
  startedAt: 1_000,
  endedAt: 2_000,
  account: 'bot@acme.com',
  smtp: null,
  error: aFault('connection_lost').error,
  confirmedBy: 'sent_mail',
};

/** Sent Mail was searched, or still is. */
function reconciled(patch: Partial<Delivery>, isSearched = true) {
  return { reconciliation: { reconcile: async () => ({ delivery: aDelivery(patch), isSearched }) } };
}

/** The mailbox of the account cannot be searched. */
function unreadable(code: ErrorCode) {
  return { reconciliation: { reconcile: () => Promise.reject(new AppError(code)) } };
}

/** Accepts every ticket, also for a message that has been removed since. */
const REMOVED = { tickets: ANY_TICKET };

/** Returns a request for the content of a message, with a ticket and without a key. */
async function withTicket(client: ServiceClient) {
  const { path } = await scheduled(client);
  const { url } = await client.callJson('createContentTicket', { path });
  return { path, query: url.slice(url.indexOf('?')), key: null };
}

export const messageRows: Row[] = [
  onService('getMessage', 200, (client) => settled(client)),
  onService('getMessage', 200, scheduled),
  onService('getMessage', 200, async (client) => ({
    ...(await scheduled(client)),
    headers: { prefer: 'wait=1' },
  })),
  onService('getMessage', 200, async (client) => ({ ...(await settled(client)), key: ADMIN })),
  onService('getMessage', 200, (client) => failed(client, 'no-such-user+get@simulator.test')),
  onService('getMessage', 'message_not_found'),

  onService('listMessages', 200, async (client) => {
    await scheduled(client);
    await settled(client);
    const { next_cursor } = await client.callJson('listMessages', { query: '?limit=1' });
    return { query: `?limit=1&cursor=${next_cursor}` };
  }),
  onService('listMessages', 200, { query: '?status=failed,canceled&tag=flow&to=nobody@example.com' }),
  onService('listMessages', 200, async (client) => {
    await scheduled(client);
    return { key: ADMIN };
  }),
  onService('listMessages', 200, { query: '?order=oldest&key=boss', key: ADMIN }),
  onService('listMessages', 200, { query: '?bounced=true' }),
  onService('listMessages', 'validation_failed', { query: '?limit=0' }),

  onService('getMessageContent', 200, scheduled),
  onService('getMessageContent', 'message_not_found'),
  onService('getMessageContent', 'content_not_kept', (client) => settled(client)),

  onService('createContentTicket', 200, scheduled),
  onService('createContentTicket', 'message_not_found'),
  onService('createContentTicket', 'content_not_kept', (client) => settled(client)),

  onService('viewMessageContent', 200, withTicket),
  onService('viewMessageContent', 'invalid_ticket', { key: null }),
  onService('viewMessageContent', 'validation_failed', { query: '', key: null }),
  withParts(REMOVED, 'viewMessageContent', 'message_not_found'),
  onService('viewMessageContent', 'content_not_kept', async (client) => {
    const request = await withTicket(client);
    await client.call('cancelMessage', { path: request.path });
    return request;
  }),

  onService('cancelMessage', 200, scheduled),
  onService('cancelMessage', 'message_not_found'),
  onService('cancelMessage', 'not_cancelable', (client) => settled(client)),

  onService('retryMessage', 202, (client) => failed(client, 'no-such-user+retry@simulator.test')),
  onService('retryMessage', 'message_not_found'),
  onService('retryMessage', 'not_retryable', (client) => settled(client)),
  withEnv(SMALL_QUEUE, 'retryMessage', 'queue_full', async (client) => {
    const request = await failed(client, 'no-such-user@simulator.test');
    await scheduled(client);
    return request;
  }),
  whileDraining('retryMessage'),

  withParts(
    reconciled({ status: 'sent', attempts: [CONFIRMED], finishedAt: Date.now() }),
    'reconcileMessage',
    200,
  ),
  withParts(reconciled({ status: 'uncertain', finishedAt: Date.now() }, false), 'reconcileMessage', 202),
  onService('reconcileMessage', 'message_not_found'),
  onService('reconcileMessage', 'not_reconcilable', (client) => settled(client)),
  ...MAILBOX_CODES.map((code) => withParts(unreadable(code), 'reconcileMessage', code)),
  whileDraining('reconcileMessage'),

  onService('rescheduleMessage', 200, scheduled),
  onService('rescheduleMessage', 'message_not_found'),
  onService('rescheduleMessage', 'not_reschedulable', (client) => settled(client)),
  onService('rescheduleMessage', 'validation_failed', { body: { scheduled_at: 'tomorrow' } }),
];
