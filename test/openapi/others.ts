import { createMemorySuppressions } from '../../src/adapters/memory/suppressions.ts';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import { createSuppressions } from '../../src/core/suppressions.ts';
import { MAIL } from '../helpers/app.ts';
import { type OperationClient, TOMORROW } from '../helpers/openapi-client.ts';
import { ADMIN_KEY } from '../helpers/service.ts';
import { openBlackHolePort } from '../helpers/smtp/black-hole-port.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';
import {
  ADMIN,
  ANY_TICKET,
  against,
  onService,
  PROMETHEUS,
  type Row,
  SMALL_QUEUE,
  whileDraining,
  withEnv,
  withParts,
} from './rows.ts';

const suppressed =
  (email: string) =>
  async ({ call }: OperationClient) => {
    await call('putSuppression', { path: { email } });
    return { path: { email } };
  };

/** Has room for one address instead of 100,000. */
const FULL = {
  suppressions: createSuppressions({
    store: createMemorySuppressions(1),
    events: createEvents(),
    suppressRefused: true,
    onError: () => {},
  }),
};

const suppressions: Row[] = [
  onService('putSuppression', 200),
  onService('putSuppression', 200, { body: null }),
  onService('putSuppression', 200, { body: '' }),
  onService('putSuppression', 'validation_failed', { path: { email: 'nobody' } }),
  withParts(FULL, 'putSuppression', 'queue_full', async ({ call }) => {
    await call('putSuppression', { path: { email: 'first@example.com' } });
    return {};
  }),

  onService('getSuppression', 200, suppressed('get@example.com')),
  onService('getSuppression', 200, async ({ call }) => {
    const email = 'no-such-user+suppressed@simulator.test';
    await call('send', { body: { ...MAIL, to: email }, headers: { prefer: 'wait=15' } });
    return { path: { email } };
  }),
  onService('getSuppression', 'not_found', { path: { email: 'unknown@example.com' } }),
  onService('getSuppression', 'validation_failed', { path: { email: 'nobody' } }),

  onService('listSuppressions', 200, async ({ call, callJson }) => {
    for (const email of ['list-1@example.com', 'list-2@example.com'])
      await call('putSuppression', { path: { email } });
    const { next_cursor } = await callJson('listSuppressions', { query: '?limit=1' });
    return { query: `?cursor=${next_cursor}` };
  }),
  onService('listSuppressions', 'validation_failed', { query: '?cursor=unknown' }),

  onService('deleteSuppression', 204, suppressed('delete@example.com')),
  onService('deleteSuppression', 'not_found', { path: { email: 'unknown@example.com' } }),
  onService('deleteSuppression', 'validation_failed', { path: { email: 'nobody' } }),
];

const keys: Row[] = [onService('getKey', 200)];

/** Returns a request for the preview of a template, with a ticket and without a key. */
async function withPreview({ callJson }: OperationClient) {
  const path = { id: 'invoice' };
  const { view_url } = await callJson('previewTemplate', { path });
  return { path, query: view_url.slice(view_url.indexOf('?')), key: null };
}

/** Accepts every ticket, also for a template that has been removed or changed since. */
const REMOVED_TEMPLATE = { tickets: ANY_TICKET };
const CHANGED_TEMPLATE = {
  tickets: ANY_TICKET,
  templates: {
    list: () => [],
    render: () => {
      throw new AppError('template_failed');
    },
  },
};

const templates: Row[] = [
  onService('listTemplates', 200),
  onService('previewTemplate', 200, { path: { id: 'invoice' } }),
  onService('previewTemplate', 'template_failed', { path: { id: 'invoice' }, body: null }),
  onService('previewTemplate', 'validation_failed', { body: { variables: 'Ada' } }),
  onService('previewTemplate', 'template_not_found'),
  onService('previewTemplate', 'template_failed', { path: { id: 'invoice' }, body: {} }),
  onService('viewTemplatePreview', 200, withPreview),
  onService('viewTemplatePreview', 'invalid_ticket', { key: null }),
  onService('viewTemplatePreview', 'validation_failed', { query: '', key: null }),
  withParts(CHANGED_TEMPLATE, 'viewTemplatePreview', 'template_failed'),
  withParts(REMOVED_TEMPLATE, 'viewTemplatePreview', 'template_not_found'),
];

const greeting = (bytes: string) => () => startRawSmtp(async (io) => io.send(bytes));

const accounts: Row[] = [
  onService('listAccounts', 200),
  onService('getDoctorReport', 200, { key: ADMIN }),
  onService('getStats', 200),
  onService('getStats', 200, { key: ADMIN }),
  withEnv({}, 'verifyAccount', 200),
  onService('verifyAccount', 'not_found', { path: { user: 'nobody@simulator.test' } }),
  withEnv({}, 'verifyAccount', 'rate_limited', async ({ call }) => {
    await call('verifyAccount');
    return {};
  }),
  withEnv({}, 'verifyAccount', 200, async ({ gmail }) => {
    gmail.setLoginFault('bad-credentials');
    return {};
  }),
  withEnv({ SMTP_URL: 'smtp://gmail.invalid:587' }, 'verifyAccount', 'dns_failed'),
  withEnv({ SMTP_URL: 'smtp://127.0.0.1:1' }, 'verifyAccount', 'connect_failed'),
  against(openBlackHolePort, 'verifyAccount', 'connect_timeout'),
  against(() => startRawSmtp(async (io) => io.drop()), 'verifyAccount', 'connection_lost'),
  against(greeting('SSH-2.0-OpenSSH_10.0\r\n'), 'verifyAccount', 'smtp_protocol_error'),
  against(greeting('421 4.3.0 Temporary System Problem.\r\n'), 'verifyAccount', 'smtp_temporary_failure'),
];

const WEBHOOK = {
  WEBHOOK_URL: 'https://crm.invalid/hooks',
  WEBHOOK_SECRET: `whsec_${Buffer.alloc(32).toString('base64')}`,
};
/** Sends a message, whose event cannot be delivered. */
async function withFailedCall({ call }: OperationClient) {
  await call('send', { body: MAIL, headers: { prefer: 'wait=15' } });
  return { key: ADMIN_KEY };
}
const asAdmin = { key: ADMIN_KEY, body: {} };

const webhooks: Row[] = [
  withEnv(WEBHOOK, 'testWebhook', 200, asAdmin),
  onService('testWebhook', 'not_found', { body: null }),
  onService('testWebhook', 'validation_failed', { body: { url: 1 } }),

  withEnv(WEBHOOK, 'listWebhookDeliveries', 200, withFailedCall),
  onService('listWebhookDeliveries', 'validation_failed', { query: '?status=sent' }),
  withEnv(WEBHOOK, 'replayWebhookDelivery', 202, async (client) => {
    await withFailedCall(client);
    const { deliveries } = (await client.callJson('listWebhookDeliveries', {
      key: ADMIN_KEY,
    })) as unknown as {
      deliveries: { id: string }[];
    };
    return { key: ADMIN_KEY, path: { id: deliveries[0]?.id ?? '' } };
  }),
  onService('replayWebhookDelivery', 'not_found'),
];

const health: Row[] = [
  onService('livez', 200, { key: null }),
  onService('readyz', 200, { key: null }),
  withEnv(SMALL_QUEUE, 'readyz', 'queue_full', async ({ call }) => {
    await call('send', { body: { ...MAIL, scheduled_at: TOMORROW } });
    return { key: null };
  }),
  whileDraining('readyz'),
];

const metrics: Row[] = [
  onService('getMetrics', 200, { key: PROMETHEUS }),
  // A valid key is not limited. An address is, after 60 failed requests in a minute.
  withEnv({}, 'getMetrics', 'rate_limited', async ({ call }) => {
    for (let i = 0; i < 60; i += 1) await call('getMetrics', { key: 'wrong' });
    return { key: 'wrong' };
  }),
];

const docs: Row[] = [
  onService('getOpenApi', 200, { key: null }),
  onService('listProblems', 200, { key: null }),
  onService('explainProblem', 200, { key: null }),
  onService('explainProblem', 'not_found', { path: { code: 'unknown' } }),
];

export const otherRows = [
  ...suppressions,
  ...keys,
  ...templates,
  ...accounts,
  ...webhooks,
  ...health,
  ...metrics,
  ...docs,
];
