import { MAIL } from '../helpers/app.ts';
import { type ServiceClient, TOMORROW } from '../helpers/openapi-client.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';
import {
  against,
  onService,
  type Row,
  SMALL_QUEUE,
  whileDraining,
  whileInProgress,
  withEnv,
} from './rows.ts';

const WAIT = { prefer: 'wait=15' };
/** No server listens on this port. */
const NOWHERE = { SMTP_URL: 'smtp://127.0.0.1:1' };
const LATER = { ...MAIL, scheduled_at: TOMORROW };
const PROGRAM = { ...MAIL, attachments: [{ filename: 'setup.exe', content: 'TVo=' }] };

const to = (recipient: string | readonly string[], more: object = {}) => ({
  body: { ...MAIL, to: recipient, ...more },
});
const waitFor = (recipient: string | readonly string[], more: object = {}) => ({
  ...to(recipient, more),
  headers: WAIT,
});
const withKey = (key: string) => ({ headers: { 'idempotency-key': key } });
const using = (id: string, variables: object) => ({
  body: { to: 'ada@example.com', template: { id, variables } },
});
const FORM = [
  '--x\r\nContent-Disposition: form-data; name="message"\r\n\r\n',
  JSON.stringify(MAIL),
  '\r\n--x\r\nContent-Disposition: form-data; name="attachments"; filename="a.txt"\r\n\r\nHello',
  '\r\n--x--\r\n',
].join('');
const form = (headers: Record<string, string> = {}) => ({
  headers: { 'content-type': 'multipart/form-data; boundary=x', ...headers },
  body: FORM,
});
const batch = (...messages: unknown[]) => ({ body: { messages } });

/** A server that receives a message and responds to it with this reply. */
const saying = (reply: string) => () =>
  startRawSmtp(async (io) => {
    await io.greet();
    await io.acceptEnvelope();
    await io.readUntilDot();
    io.send(`${reply}\r\n`);
  });

async function fill({ call }: ServiceClient) {
  await call('send', { body: LATER });
  return {};
}

const single: Row[] = [
  onService('send', 202),
  onService('send', 202, { body: LATER }),
  onService('send', 202, form()),
  onService('send', 'cross_site_request', form({ origin: 'https://evil.example' })),
  onService('send', 202, async ({ call }) => {
    await call('send', withKey('again'));
    return withKey('again');
  }),
  onService(
    'send',
    200,
    waitFor('ada@example.com', {
      cc: 'Bob <bob@example.com>',
      tags: { flow: 'welcome' },
      metadata: { crm_id: '42' },
    }),
  ),
  onService('send', 200, waitFor(['ada@example.com', 'no-such-user+some@simulator.test'])),
  onService('send', 200, to('ada@example.com', { dry_run: true })),
  onService('send', 'validation_failed', { body: {} }),
  onService('send', 'sender_not_allowed', to('ada@example.com', { from: 'eve@example.com' })),
  withEnv({ ALLOWED_RECIPIENTS: '@acme.com' }, 'send', 'recipient_not_allowed'),
  onService('send', 'attachment_blocked', { body: PROGRAM }),
  onService('send', 'attachment_blocked', waitFor('blocked-content@simulator.test')),
  onService('send', 'template_not_found', using('unknown', {})),
  onService('send', 'template_failed', using('invoice', {})),
  onService('send', 'recipient_suppressed', async ({ call }) => {
    await call('putSuppression', { path: { email: 'moved@example.com' } });
    return to('moved@example.com');
  }),
  onService('send', 'idempotency_key_reused', async ({ call }) => {
    await call('send', withKey('reused'));
    return { ...withKey('reused'), ...to('bob@example.com') };
  }),
  onService('send', 200, async ({ call, gmail }) => {
    const request = { ...to('slow+1s@simulator.test'), headers: { ...WAIT, 'idempotency-key': 'slow' } };
    call('send', request).catch(() => {});
    await gmail.waitFor(({ transactions }) =>
      transactions.some(({ recipients }) => recipients[0]?.email === request.body.to),
    );
    return request;
  }),
  whileInProgress('send'),
  withEnv(SMALL_QUEUE, 'send', 'queue_full', fill),
  whileDraining('send'),

  onService('send', 'message_too_large', to('ada@example.com', { text: 'a'.repeat(100_000) })),
  onService('send', 'message_too_large', waitFor('too-large@simulator.test')),
  onService('send', 'recipients_rejected', waitFor('no-such-user+one@simulator.test')),
  onService('send', 'mailbox_full', waitFor('mailbox-full@simulator.test')),
  against(saying('554 5.6.0 Message is malformed. Not accepted.'), 'send', 'content_rejected', {
    headers: WAIT,
  }),
  against(
    saying('553 5.1.7 The sender address <bot@simulator.test> is not a valid address.'),
    'send',
    'sender_rejected',
    {
      headers: WAIT,
    },
  ),
  against(
    saying('550 5.7.1 The user or domain has a policy that prohibited the mail.'),
    'send',
    'policy_rejected',
    { headers: WAIT },
  ),
  against(saying('554 No.'), 'send', 'smtp_rejected', { headers: WAIT }),
  withEnv({ ...NOWHERE, RETRY_FOR: '1ms' }, 'send', 'retries_exhausted', { headers: WAIT }),
  withEnv({ ON_UNCERTAIN: 'hold' }, 'send', 'delivery_uncertain', waitFor('drop-after-dot@simulator.test')),
  withEnv(NOWHERE, 'send', 'expired', async () =>
    waitFor('ada@example.com', { expires_at: new Date(Date.now() + 500).toISOString() }),
  ),
];

const many: Row[] = [
  onService('sendBatch', 202, batch(MAIL, LATER, { ...MAIL, dry_run: true })),
  onService('sendBatch', 207, batch(MAIL, {}, PROGRAM, { ...MAIL, from: 'eve@example.com' }, 'Hello')),
  onService('sendBatch', 202, {
    body: { defaults: { subject: 'Hello', text: 'Hello.' }, messages: [{ to: 'ada@example.com' }] },
  }),
  onService('sendBatch', 207, batch({})),
  onService('sendBatch', 'validation_failed', batch()),
  onService('sendBatch', 'idempotency_key_reused', async ({ call }) => {
    await call('sendBatch', withKey('reused'));
    return { ...withKey('reused'), ...batch(LATER) };
  }),
  whileInProgress('sendBatch'),
  withEnv(SMALL_QUEUE, 'sendBatch', 'queue_full', fill),
  whileDraining('sendBatch'),
];

export const sendRows = [...single, ...many];
