import { MAIL } from '../helpers/app.ts';
import { type ServiceStage, TOMORROW } from '../helpers/openapi-stage.ts';
import { type Row, SMALL_QUEUE, usually, whileDraining, whileInProgress, within } from './rows.ts';

const FROM = 'bot@simulator.test';
const EMAIL = { from: FROM, ...MAIL };
const LATER = { ...EMAIL, scheduled_at: TOMORROW };

const withKey = (key: string) => ({ headers: { 'idempotency-key': key } });

async function scheduled({ ask }: ServiceStage) {
  const { id } = await ask('sendEmail', { body: LATER });
  return { path: { id } };
}

async function sent({ ask }: ServiceStage) {
  const { id } = await ask('send', { headers: { prefer: 'wait=15' } });
  return { path: { id } };
}

/** What the two ways to send refuse alike; `wrap` makes a body of one email. */
function refusals(operation: string, wrap: (email: object) => unknown): Row[] {
  const body = (patch: object) => ({ body: wrap({ ...EMAIL, ...patch }) });
  const using = (id: string) => ({ body: wrap({ from: FROM, to: 'ada@example.com', template: { id } }) });
  return [
    usually(operation, 'validation_failed', { body: wrap({}) }),
    usually(operation, 'sender_not_allowed', body({ from: 'eve@example.com' })),
    within({ ALLOWED_RECIPIENTS: '@acme.com' }, operation, 'recipient_not_allowed'),
    usually(
      operation,
      'attachment_blocked',
      body({ attachments: [{ filename: 'setup.exe', content: 'TVo=' }] }),
    ),
    usually(operation, 'template_not_found', using('unknown')),
    usually(operation, 'template_failed', using('invoice')),
    usually(operation, 'recipient_suppressed', async ({ call }) => {
      await call('putSuppression', { path: { email: 'left@example.com' } });
      return body({ to: 'left@example.com' });
    }),
    usually(operation, '400 validation_failed', withKey('')),
    usually(operation, '409 idempotency_key_reused', async ({ call }) => {
      await call(operation, withKey('reused'));
      return { ...withKey('reused'), ...body({ to: 'bob@example.com' }) };
    }),
    whileInProgress(operation),
    within(SMALL_QUEUE, operation, 'queue_full', async (stage) => {
      await scheduled(stage);
      return {};
    }),
    whileDraining(operation),
  ];
}

export const resendRows: Row[] = [
  usually('sendEmail', 200),
  ...refusals('sendEmail', (email) => email),

  usually('sendEmailBatch', 200),
  usually('sendEmailBatch', 200, { headers: { 'x-batch-validation': 'permissive' }, body: [EMAIL, {}] }),
  ...refusals('sendEmailBatch', (email) => [email]),

  usually('getEmail', 200, sent),
  usually('getEmail', 200, scheduled),
  usually('getEmail', 'message_not_found'),

  usually('listEmails', 200, async (stage) => {
    await sent(stage);
    await scheduled(stage);
    return { query: '?limit=2' };
  }),
  usually('listEmails', 'validation_failed', { query: '?limit=0' }),

  usually('updateEmail', 200, scheduled),
  usually('updateEmail', 'message_not_found'),
  usually('updateEmail', 'not_reschedulable', sent),
  usually('updateEmail', 'validation_failed', { body: { scheduled_at: 'in 1 hour' } }),

  usually('cancelEmail', 200, scheduled),
  usually('cancelEmail', 'message_not_found'),
  usually('cancelEmail', 'not_cancelable', sent),
];
