import { expect, onTestFinished, test, vi } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import type { Recorded } from '../../src/core/inbound/inbound-recorder.ts';
import type { DecidedMail } from '../../src/core/inbound/mail-handler.ts';
import { createWaitingMails, type StoredInbox } from '../../src/core/inbound/waiting-mail.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aBounce } from '../helpers/inbound.ts';

const never = new AbortController().signal;

function aMail(id: string): DecidedMail {
  return { id, decision: aBounce() };
}

/** @param recordOf Returns what becomes of a mail. False: its message has not settled */
async function start(
  stored: DecidedMail[],
  recordOf: (mail: DecidedMail) => Promise<Recorded | boolean>,
  backoffScale = 1,
) {
  const state = await createMemorySharedState().open<StoredInbox>('inbox', () => ({
    position: null,
    waiting: stored,
  }));
  const events = createEvents();
  const failures: unknown[] = [];
  events.on('worker.failed', (_, error) => failures.push(error));
  const recorded: string[] = [];
  async function record(mail: DecidedMail): Promise<Recorded> {
    const result = await recordOf(mail);
    if (result === false) return 'later';
    recorded.push(mail.decision.mailId);
    return result === true ? 'applied' : result;
  }
  const ignored = vi.fn<() => void>();
  const mails = createWaitingMails({
    state,
    handler: { record },
    events,
    onIgnored: ignored,
    backoffScale,
  });
  const stop = new AbortController();
  const running = mails.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await running;
  });
  const waiting = () => state.value.waiting.map(({ id }) => id);
  return { mails, events, waiting, failures, recorded, ignored };
}

test('a mail is recorded once its message settles, and others wait on', async () => {
  const settled = new Set<string>();
  const { mails, events, waiting } = await start([], async ({ id }) => settled.has(id));
  for (const id of ['msg_1', 'msg_2']) await mails.record(aMail(id), never);
  settled.add('msg_2');
  events.emit('message.settled', aDelivery({ id: 'msg_2' }));
  await vi.waitFor(() => expect(waiting()).toEqual(['msg_1']));
});

test('mail about one message is recorded in its order, although the message settles between', async () => {
  let isSettled = false;
  const { mails, waiting, recorded } = await start([], async () => isSettled);
  const [first, second] = [aMail('msg_1'), aMail('msg_1')];
  await mails.record(first, never);
  isSettled = true;
  await mails.record(second, never);
  await vi.waitFor(() => expect(waiting()).toEqual([]));
  expect(recorded).toEqual([first.decision.mailId, second.decision.mailId]);
});

test('a mail that is added twice waits once', async () => {
  const { mails, waiting } = await start([], async () => false);
  const mail = aMail('msg_1');
  await mails.record(mail, never);
  await mails.record({ ...mail }, never);
  expect(waiting()).toEqual(['msg_1']);
});

test('a mail that bounces one recipient and delays another waits with both', async () => {
  const { mails, waiting } = await start([], async () => false);
  const mail = aMail('msg_1');
  await mails.record(mail, never);
  await mails.record({ ...mail, decision: { ...mail.decision, kind: 'delayed' } }, never);
  expect(waiting()).toEqual(['msg_1', 'msg_1']);
});

test('a mail waits on while the backend is unavailable, and if recording it fails', async () => {
  const errors = [new AppError('queue_unavailable'), new Error('a bug')];
  const { waiting, failures } = await start(
    [aMail('msg_1')],
    async () => {
      const error = errors.shift();
      if (error) throw error;
      return true;
    },
    0.002,
  );
  await vi.waitFor(() => expect(waiting()).toEqual([]));
  expect(failures).toEqual([new Error('a bug')]);
});

test('a mail that causes a bug does not stop those after it', async () => {
  const { waiting, failures } = await start([aMail('msg_1'), aMail('msg_2')], async ({ id }) => {
    if (id === 'msg_1') throw new Error('a bug');
    return true;
  });
  await vi.waitFor(() => expect(waiting()).toEqual(['msg_1']));
  expect(failures).toEqual([new Error('a bug')]);
});

test('a mail that changes nothing is reported, at once or after it has waited', async () => {
  const changesNothing = async (): Promise<Recorded> => 'ignored';
  const { mails, ignored, waiting } = await start([aMail('msg_1')], changesNothing);
  await vi.waitFor(() => expect(waiting()).toEqual([]));
  await mails.record(aMail('msg_2'), never);
  expect(ignored).toHaveBeenCalledTimes(2);
});

test('beyond 200 mails, another one is stored once there is room', async () => {
  let isSettled = false;
  const stored = Array.from({ length: 200 }, (_, index) => aMail(`msg_${index}`));
  const { mails, waiting } = await start(stored, async ({ id }) => isSettled && id === 'msg_0', 0.002);
  const added = mails.record(aMail('msg_last'), never);
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(waiting()).toHaveLength(200);
  isSettled = true;
  await added;
  expect(waiting().slice(-2)).toEqual(['msg_199', 'msg_last']);
  await expect(mails.record(aMail('msg_more'), AbortSignal.abort())).rejects.toThrow();
});

test('many accounts cause no warning about listeners', async () => {
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on('warning', note);
  onTestFinished(() => void process.off('warning', note));
  const { events } = await start([], async () => false);
  const state = await createMemorySharedState().open<StoredInbox>('inbox', () => ({
    position: null,
    waiting: [],
  }));
  const stop = new AbortController();
  const handler = { record: async () => 'later' as const };
  const running = Array.from({ length: 20 }, () =>
    createWaitingMails({ state, handler, events, onIgnored() {}, backoffScale: 1 }).run(stop.signal),
  );
  await new Promise((resolve) => setTimeout(resolve, 10));
  stop.abort();
  await Promise.all(running);
  expect(warnings).toEqual([]);
});
