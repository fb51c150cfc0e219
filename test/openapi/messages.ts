import { MAIL } from '../helpers/app.ts';
import { type ServiceClient, TOMORROW } from '../helpers/openapi-client.ts';
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

  onService('rescheduleMessage', 200, scheduled),
  onService('rescheduleMessage', 'message_not_found'),
  onService('rescheduleMessage', 'not_reschedulable', (client) => settled(client)),
  onService('rescheduleMessage', 'validation_failed', { body: { scheduled_at: 'tomorrow' } }),
];
