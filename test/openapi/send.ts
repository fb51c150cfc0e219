import { MAIL } from '../helpers/app.ts';
import { type ServiceStage, TOMORROW } from '../helpers/openapi-stage.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';
import { against, type Row, SMALL_QUEUE, usually, whileDraining, whileInProgress, within } from './rows.ts';

const WAIT = { prefer: 'wait=15' };
/** Nothing listens there. */
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
const batch = (...messages: unknown[]) => ({ body: { messages } });

/** A server that takes a message, and then says this of it. */
const saying = (reply: string) => () =>
  startRawSmtp(async (io) => {
    await io.greet();
    await io.acceptEnvelope();
    await io.readUntilDot();
    io.send(`${reply}\r\n`);
  });

async function fill({ call }: ServiceStage) {
  await call('send', { body: LATER });
  return {};
}

const single: Row[] = [
  usually('send', 202),
  usually('send', 202, { body: LATER }),
  usually('send', 202, async ({ call }) => {
    await call('send', withKey('again'));
    return withKey('again');
  }),
  usually(
    'send',
    200,
    waitFor('ada@example.com', {
      cc: 'Bob <bob@example.com>',
      tags: { flow: 'welcome' },
      metadata: { crm_id: '42' },
    }),
  ),
  usually('send', 200, waitFor(['ada@example.com', 'no-such-user+some@simulator.test'])),
  usually('send', 200, to('ada@example.com', { dry_run: true })),
  usually('send', 'validation_failed', { body: {} }),
  usually('send', 'sender_not_allowed', to('ada@example.com', { from: 'eve@example.com' })),
  within({ ALLOWED_RECIPIENTS: '@acme.com' }, 'send', 'recipient_not_allowed'),
  usually('send', 'attachment_blocked', { body: PROGRAM }),
  usually('send', 'attachment_blocked', waitFor('blocked-content@simulator.test')),
  usually('send', 'template_not_found', using('unknown', {})),
  usually('send', 'template_failed', using('invoice', {})),
  usually('send', 'recipient_suppressed', async ({ call }) => {
    await call('putSuppression', { path: { email: 'moved@example.com' } });
    return to('moved@example.com');
  }),
  usually('send', 'idempotency_key_reused', async ({ call }) => {
    await call('send', withKey('reused'));
    return { ...withKey('reused'), ...to('bob@example.com') };
  }),
  usually('send', 200, async ({ call, gmail }) => {
    const asked = { ...to('slow+1s@simulator.test'), headers: { ...WAIT, 'idempotency-key': 'slow' } };
    call('send', asked).catch(() => {});
    await gmail.waitFor(({ transactions }) =>
      transactions.some(({ recipients }) => recipients[0]?.email === asked.body.to),
    );
    return asked;
  }),
  whileInProgress('send'),
  within(SMALL_QUEUE, 'send', 'queue_full', fill),
  whileDraining('send'),

  usually('send', 'message_too_large', to('ada@example.com', { text: 'a'.repeat(100_000) })),
  usually('send', 'message_too_large', waitFor('too-large@simulator.test')),
  usually('send', 'recipients_rejected', waitFor('no-such-user+one@simulator.test')),
  usually('send', 'mailbox_full', waitFor('mailbox-full@simulator.test')),
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
  within({ ...NOWHERE, RETRY_FOR: '1ms' }, 'send', 'retries_exhausted', { headers: WAIT }),
  within({ ON_UNCERTAIN: 'hold' }, 'send', 'delivery_uncertain', waitFor('drop-after-dot@simulator.test')),
  within(NOWHERE, 'send', 'expired', async () =>
    waitFor('ada@example.com', { expires_at: new Date(Date.now() + 500).toISOString() }),
  ),
];

const many: Row[] = [
  usually('sendBatch', 202, batch(MAIL, LATER, { ...MAIL, dry_run: true })),
  usually('sendBatch', 207, batch(MAIL, {}, PROGRAM, { ...MAIL, from: 'eve@example.com' }, 'Hello')),
  usually('sendBatch', 207, batch({})),
  usually('sendBatch', 'validation_failed', batch()),
  usually('sendBatch', 'idempotency_key_reused', async ({ call }) => {
    await call('sendBatch', withKey('reused'));
    return { ...withKey('reused'), ...batch(LATER) };
  }),
  whileInProgress('sendBatch'),
  within(SMALL_QUEUE, 'sendBatch', 'queue_full', fill),
  whileDraining('sendBatch'),
];

export const sendRows = [...single, ...many];
