import { MAIL } from '../helpers/app.ts';
import { type ServiceClient, TOMORROW } from '../helpers/openapi-client.ts';
import { onService, type Row, SMALL_QUEUE, whileDraining, whileInProgress, withEnv } from './rows.ts';

const FROM = 'bot@simulator.test';
const EMAIL = { from: FROM, ...MAIL };
const LATER = { ...EMAIL, scheduled_at: TOMORROW };

const withKey = (key: string) => ({ headers: { 'idempotency-key': key } });

async function scheduled({ callJson }: ServiceClient) {
  const { id } = await callJson('sendEmail', { body: LATER });
  return { path: { id } };
}

async function sent({ callJson }: ServiceClient) {
  const { id } = await callJson('send', { headers: { prefer: 'wait=15' } });
  return { path: { id } };
}

/** Errors that both sending operations have in common; `wrap` makes a body from one email. */
function refusals(operation: string, wrap: (email: object) => unknown): Row[] {
  const body = (patch: object) => ({ body: wrap({ ...EMAIL, ...patch }) });
  const using = (id: string) => ({ body: wrap({ from: FROM, to: 'ada@example.com', template: { id } }) });
  return [
    onService(operation, 'validation_failed', { body: wrap({}) }),
    onService(operation, 'sender_not_allowed', body({ from: 'eve@example.com' })),
    withEnv({ ALLOWED_RECIPIENTS: '@acme.com' }, operation, 'recipient_not_allowed'),
    onService(
      operation,
      'attachment_blocked',
      body({ attachments: [{ filename: 'setup.exe', content: 'TVo=' }] }),
    ),
    onService(operation, 'template_not_found', using('unknown')),
    onService(operation, 'template_failed', using('invoice')),
    onService(operation, 'recipient_suppressed', async ({ call }) => {
      await call('putSuppression', { path: { email: 'left@example.com' } });
      return body({ to: 'left@example.com' });
    }),
    onService(operation, '400 validation_failed', withKey('')),
    onService(operation, '409 idempotency_key_reused', async ({ call }) => {
      await call(operation, withKey('reused'));
      return { ...withKey('reused'), ...body({ to: 'bob@example.com' }) };
    }),
    whileInProgress(operation),
    withEnv(SMALL_QUEUE, operation, 'queue_full', async (client) => {
      await scheduled(client);
      return {};
    }),
    whileDraining(operation),
  ];
}

export const resendRows: Row[] = [
  onService('sendEmail', 200),
  ...refusals('sendEmail', (email) => email),

  onService('sendEmailBatch', 200),
  onService('sendEmailBatch', 200, { headers: { 'x-batch-validation': 'permissive' }, body: [EMAIL, {}] }),
  ...refusals('sendEmailBatch', (email) => [email]),

  onService('getEmail', 200, sent),
  onService('getEmail', 200, scheduled),
  onService('getEmail', 'message_not_found'),

  onService('listEmails', 200, async (client) => {
    await sent(client);
    await scheduled(client);
    return { query: '?limit=2' };
  }),
  onService('listEmails', 'validation_failed', { query: '?limit=0' }),

  onService('updateEmail', 200, scheduled),
  onService('updateEmail', 'message_not_found'),
  onService('updateEmail', 'not_reschedulable', sent),
  onService('updateEmail', 'validation_failed', { body: { scheduled_at: 'in 1 hour' } }),

  onService('cancelEmail', 200, scheduled),
  onService('cancelEmail', 'message_not_found'),
  onService('cancelEmail', 'not_cancelable', sent),
];
