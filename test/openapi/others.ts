import { createMemorySuppressions } from '../../src/adapters/memory/suppressions.ts';
import { createEvents } from '../../src/core/events.ts';
import { createSuppressions } from '../../src/core/suppressions.ts';
import { MAIL } from '../helpers/app.ts';
import { type Stage, TOMORROW } from '../helpers/openapi-stage.ts';
import { openDeafPort } from '../helpers/smtp/deaf-port.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';
import { against, type Row, SMALL_QUEUE, usually, whileDraining, within, withParts } from './rows.ts';

const suppressed =
  (email: string) =>
  async ({ call }: Stage) => {
    await call('putSuppression', { path: { email } });
    return { path: { email } };
  };

/** Room for one address in place of 100,000. */
const CROWDED = {
  suppressions: createSuppressions({
    store: createMemorySuppressions(1),
    events: createEvents(),
    suppressRefused: true,
    onError: () => {},
  }),
};

const suppressions: Row[] = [
  usually('putSuppression', 200),
  usually('putSuppression', 200, { body: null }),
  usually('putSuppression', 200, { body: '' }),
  usually('putSuppression', 'validation_failed', { path: { email: 'nobody' } }),
  withParts(CROWDED, 'putSuppression', 'queue_full', async ({ call }) => {
    await call('putSuppression', { path: { email: 'first@example.com' } });
    return {};
  }),

  usually('getSuppression', 200, suppressed('get@example.com')),
  usually('getSuppression', 200, async ({ call }) => {
    const email = 'no-such-user+suppressed@simulator.test';
    await call('send', { body: { ...MAIL, to: email }, headers: { prefer: 'wait=15' } });
    return { path: { email } };
  }),
  usually('getSuppression', 'not_found', { path: { email: 'unknown@example.com' } }),
  usually('getSuppression', 'validation_failed', { path: { email: 'nobody' } }),

  usually('listSuppressions', 200, async ({ call, ask }) => {
    for (const email of ['list-1@example.com', 'list-2@example.com'])
      await call('putSuppression', { path: { email } });
    const { next_cursor } = await ask('listSuppressions', { query: '?limit=1' });
    return { query: `?cursor=${next_cursor}` };
  }),
  usually('listSuppressions', 'validation_failed', { query: '?cursor=unknown' }),

  usually('deleteSuppression', 204, suppressed('delete@example.com')),
  usually('deleteSuppression', 'not_found', { path: { email: 'unknown@example.com' } }),
  usually('deleteSuppression', 'validation_failed', { path: { email: 'nobody' } }),
];

const templates: Row[] = [
  usually('listTemplates', 200),
  usually('previewTemplate', 200, { path: { id: 'invoice' } }),
  usually('previewTemplate', 'template_failed', { path: { id: 'invoice' }, body: null }),
  usually('previewTemplate', 'validation_failed', { body: { variables: 'Ada' } }),
  usually('previewTemplate', 'template_not_found'),
  usually('previewTemplate', 'template_failed', { path: { id: 'invoice' }, body: {} }),
];

const greeting = (bytes: string) => () => startRawSmtp(async (io) => io.send(bytes));

const accounts: Row[] = [
  usually('listAccounts', 200),
  within({}, 'verifyAccount', 200),
  usually('verifyAccount', 'not_found', { path: { user: 'nobody@simulator.test' } }),
  within({}, 'verifyAccount', 'rate_limited', async ({ call }) => {
    await call('verifyAccount');
    return {};
  }),
  within({}, 'verifyAccount', 200, async ({ gmail }) => {
    gmail.setLoginFault('bad-credentials');
    return {};
  }),
  within({ SMTP_URL: 'smtp://gmail.invalid:587' }, 'verifyAccount', 'dns_failed'),
  within({ SMTP_URL: 'smtp://127.0.0.1:1' }, 'verifyAccount', 'connect_failed'),
  against(openDeafPort, 'verifyAccount', 'connect_timeout'),
  against(() => startRawSmtp(async (io) => io.drop()), 'verifyAccount', 'connection_lost'),
  against(greeting('SSH-2.0-OpenSSH_10.0\r\n'), 'verifyAccount', 'smtp_protocol_error'),
  against(greeting('421 4.3.0 Temporary System Problem.\r\n'), 'verifyAccount', 'smtp_temporary_failure'),
];

const health: Row[] = [
  usually('livez', 200, { key: null }),
  usually('readyz', 200, { key: null }),
  within(SMALL_QUEUE, 'readyz', 'queue_full', async ({ call }) => {
    await call('send', { body: { ...MAIL, scheduled_at: TOMORROW } });
    return { key: null };
  }),
  whileDraining('readyz'),
];

const docs: Row[] = [
  usually('getOpenApi', 200, { key: null }),
  usually('explainProblem', 200, { key: null }),
  usually('explainProblem', 'not_found', { path: { code: 'unknown' } }),
];

export const otherRows = [...suppressions, ...templates, ...accounts, ...health, ...docs];
