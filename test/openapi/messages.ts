import { MAIL } from '../helpers/app.ts';
import { type ServiceStage, TOMORROW } from '../helpers/openapi-stage.ts';
import { ADMIN, type Row, SMALL_QUEUE, usually, whileDraining, within } from './rows.ts';

/** Sends this, and waits until it is settled. */
async function settled({ ask }: ServiceStage, to = 'ada@example.com') {
  const { id } = await ask('send', { body: { ...MAIL, to }, headers: { prefer: 'wait=15' } });
  return { path: { id } };
}

async function failed({ ask }: ServiceStage, to: string) {
  const answer = await ask('send', { body: { ...MAIL, to }, headers: { prefer: 'wait=15' } });
  return { path: { id: answer.message.id } };
}

async function scheduled({ ask }: ServiceStage) {
  const { id } = await ask('send', { body: { ...MAIL, scheduled_at: TOMORROW } });
  return { path: { id } };
}

export const messageRows: Row[] = [
  usually('getMessage', 200, (stage) => settled(stage)),
  usually('getMessage', 200, scheduled),
  usually('getMessage', 200, async (stage) => ({
    ...(await scheduled(stage)),
    headers: { prefer: 'wait=1' },
  })),
  usually('getMessage', 200, async (stage) => ({ ...(await settled(stage)), key: ADMIN })),
  usually('getMessage', 200, (stage) => failed(stage, 'no-such-user+get@simulator.test')),
  usually('getMessage', 'message_not_found'),

  usually('listMessages', 200, async (stage) => {
    await scheduled(stage);
    await settled(stage);
    const { next_cursor } = await stage.ask('listMessages', { query: '?limit=1' });
    return { query: `?limit=1&cursor=${next_cursor}` };
  }),
  usually('listMessages', 200, { query: '?status=failed,canceled&tag=flow&to=nobody@example.com' }),
  usually('listMessages', 200, async (stage) => {
    await scheduled(stage);
    return { key: ADMIN };
  }),
  usually('listMessages', 'validation_failed', { query: '?limit=0' }),

  usually('cancelMessage', 200, scheduled),
  usually('cancelMessage', 'message_not_found'),
  usually('cancelMessage', 'not_cancelable', (stage) => settled(stage)),

  usually('retryMessage', 202, (stage) => failed(stage, 'no-such-user+retry@simulator.test')),
  usually('retryMessage', 'message_not_found'),
  usually('retryMessage', 'not_retryable', (stage) => settled(stage)),
  within(SMALL_QUEUE, 'retryMessage', 'queue_full', async (stage) => {
    const asked = await failed(stage, 'no-such-user@simulator.test');
    await scheduled(stage);
    return asked;
  }),
  whileDraining('retryMessage'),

  usually('rescheduleMessage', 200, scheduled),
  usually('rescheduleMessage', 'message_not_found'),
  usually('rescheduleMessage', 'not_reschedulable', (stage) => settled(stage)),
  usually('rescheduleMessage', 'validation_failed', { body: { scheduled_at: 'tomorrow' } }),
];
