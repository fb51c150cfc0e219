import { describe, expect, onTestFinished, test } from 'vitest';
import type { FollowUp } from '../../src/core/delivery/follow-up.ts';
import { createInboundRecorder } from '../../src/core/inbound/inbound-recorder.ts';
import { startSentIndexWriter } from '../../src/core/inbound/sent-index-writer.ts';
import type { DeliveryStore } from '../../src/core/ports/delivery-store.ts';
import { aBackend, CALLER, startCore } from '../helpers/core.ts';
import { aBounce, aReply, aReported } from '../helpers/inbound.ts';
import { anAcceptance } from '../helpers/outcome.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

const BOT = 'bot@acme.com';

interface Setup {
  readonly retainMs?: number;
  readonly dispatch?: boolean;
  /** Wraps the store that the recorder uses. */
  readonly wrap?: (store: DeliveryStore) => Pick<DeliveryStore, 'get' | 'update'>;
}

function start({ retainMs = 60_000, dispatch = true, wrap = (store) => store }: Setup = {}) {
  const backend = aBackend(retainMs);
  const core = startCore((job) => anAcceptance(job.recipients), {
    backend,
    dispatch,
    noticesOf: ({ id, status, revision }, followUp) => [
      aNotice({ about: id, type: `message.${followUp?.kind ?? status}`, body: `${revision}` }),
    ],
  });
  onTestFinished(() => core[Symbol.asyncDispose]());
  const { sentIndex } = backend;
  const { changes, suppressions, events, store } = core;
  const emitted: FollowUp[] = [];
  const settled: string[] = [];
  events.on('message.followed_up', (_, followUp) => emitted.push(followUp));
  events.on('message.settled', ({ id }) => settled.push(id));
  return {
    ...core,
    backend,
    sentIndex,
    emitted,
    settled,
    recorder: createInboundRecorder({ store: wrap(store), changes, suppressions, sentIndex, events }),
    async notices() {
      const found: string[] = [];
      for await (const { type, body } of backend.outbox.pending()) found.push(`${type} ${body}`);
      return found;
    },
    async sent(to: string[] = ['ada@example.com']) {
      const { id } = await core.accept({ to });
      return core.outcomeOf(id);
    },
  };
}

describe('a mail about a message', () => {
  test('is stored with its notice, whose sequence is the revision, and emits one event', async () => {
    const { recorder, sent, store, emitted, settled, notices } = start();
    const { id, revision } = await sent();
    const bounce = aBounce();
    expect(await recorder.record(id, bounce)).toBe('applied');
    expect(await recorder.record(id, bounce)).toBe('ignored');
    expect(await recorder.record(id, aReply())).toBe('applied');
    expect(await store.get(id)).toMatchObject({
      status: 'sent',
      revision: revision + 2,
      recipients: [{ status: 'bounced' }],
      followUps: [{ kind: 'bounced' }, { kind: 'replied' }],
    });
    expect(emitted.map(({ kind }) => kind)).toEqual(['bounced', 'replied']);
    expect(settled).toEqual([id]);
    expect(await notices()).toEqual([
      `message.sent ${revision}`,
      `message.bounced ${revision + 1}`,
      `message.replied ${revision + 2}`,
    ]);
  });

  test('waits while the message has not settled', async () => {
    const { recorder, accept, store, messages, emitted } = start({ dispatch: false });
    const { id } = await accept();
    expect(await recorder.record(id, aReply())).toBe('later');
    expect(await store.get(id)).toMatchObject({ revision: 1 });
    await messages.cancel(id, CALLER);
    expect(await recorder.record(id, aReply())).toBe('applied');
    expect(emitted).toHaveLength(1);
  });

  test('is recorded once if two instances record it at the same time', async () => {
    const { recorder, sent, emitted, store } = start();
    const { id } = await sent();
    const bounce = aBounce();
    const results = await Promise.all([recorder.record(id, bounce), recorder.record(id, bounce)]);
    expect(results.sort()).toEqual(['applied', 'ignored']);
    expect(emitted).toHaveLength(1);
    expect((await store.get(id))?.followUps).toHaveLength(1);
  });

  test('is not lost if the message changes meanwhile', async () => {
    let rivals = 3;
    const { recorder, sent, store } = start({
      wrap: (inner) => ({
        get: inner.get,
        async update(from, to, ...rest) {
          if (rivals > 0) {
            rivals -= 1;
            await inner.update(from, { ...from, revision: from.revision + 1 });
          }
          return inner.update(from, to, ...rest);
        },
      }),
    });
    const { id } = await sent();
    expect(await recorder.record(id, aBounce())).toBe('applied');
    expect(await store.get(id)).toMatchObject({ recipients: [{ status: 'bounced' }] });
  });

  test('of an unknown message is ignored', async () => {
    const { recorder, emitted } = start();
    expect(await recorder.record('msg_unknown', aBounce())).toBe('ignored');
    expect(emitted).toEqual([]);
  });
});

describe('a bounce', () => {
  test('suppresses an address that must not be sent to again', async () => {
    const { recorder, sent, suppressions } = start();
    const { id } = await sent();
    const reported = aReported();
    expect(await recorder.record(id, aBounce({ recipients: [reported] }))).toBe('applied');
    const { smtp } = reported;
    const expected = { reason: 'bounce', accounts: [BOT], smtp, messageId: id };
    expect(await suppressions.get('ada@example.com')).toMatchObject(expected);
  });

  test('does not suppress any other address, nor one that it did not change', async () => {
    const { recorder, sent, suppressions } = start();
    const { id } = await sent(['ada@example.com', 'bob@example.com']);
    await recorder.record(id, aBounce({ recipients: [aReported({ class: 'soft', suppress: false })] }));
    const again = [aReported(), aReported({ email: 'stranger@example.com' })];
    expect(await recorder.record(id, aBounce({ recipients: again }))).toBe('ignored');
    expect(await suppressions.list({ limit: 10, after: null })).toEqual([]);
  });

  test('that is read again does not suppress an address that was allowed since', async () => {
    const { recorder, sent, suppressions } = start();
    const { id } = await sent();
    const bounce = aBounce();
    await recorder.record(id, bounce);
    await suppressions.remove('ada@example.com');
    expect(await recorder.record(id, bounce)).toBe('ignored');
    expect(await suppressions.get('ada@example.com')).toBeNull();
  });

  test('refuses new mail to its address, with the reason', async () => {
    const { recorder, sent, accept } = start();
    await recorder.record((await sent()).id, aBounce());
    await expect(accept()).rejects.toMatchObject({
      code: 'recipient_suppressed',
      message: expect.stringMatching(/Mail to ada@example.com bounced on .*\(550 5\.1\.1\)/),
    });
  });
});

describe('a bounce of a message that is no longer stored', () => {
  const mail = {
    id: 'msg_1',
    owner: 'crm',
    account: BOT,
    recipients: ['Ada@example.com', 'bob@example.com'],
  };

  test('suppresses its recipients, once, if it is hard, and emits an event', async () => {
    const { recorder, sentIndex, suppressions, events } = start();
    const late: string[][] = [];
    events.on('message.bounced_late', (_, recipients) => late.push(recipients.map(({ email }) => email)));
    await sentIndex.add([mail]);
    const bounce = aBounce({
      recipients: [
        aReported({ email: 'ada@example.com' }),
        aReported({ email: 'stranger@example.com' }),
        aReported({ email: 'bob@example.com', class: 'soft', suppress: false }),
      ],
    });
    expect(await recorder.record(mail.id, bounce)).toBe('applied');
    expect(late).toEqual([['Ada@example.com', 'bob@example.com']]);
    const page = await suppressions.list({ limit: 10, after: null });
    expect(page).toMatchObject([{ email: 'Ada@example.com', reason: 'bounce', messageId: 'msg_1' }]);
    await suppressions.remove('ada@example.com');
    expect(await recorder.record(mail.id, bounce)).toBe('ignored');
    expect(await suppressions.get('ada@example.com')).toBeNull();
    expect(late).toHaveLength(1);
  });

  test('suppresses its recipient once Gmail reports it, if another server reported it before', async () => {
    const { recorder, sentIndex, suppressions } = start();
    await sentIndex.add([mail]);
    const recipients = [aReported({ suppress: false })];
    await recorder.record(mail.id, aBounce({ mailId: '<1@example.com>', unverified: true, recipients }));
    expect(await suppressions.get('ada@example.com')).toBeNull();
    expect(await recorder.record(mail.id, aBounce())).toBe('applied');
    expect(await suppressions.get('ada@example.com')).toMatchObject({ reason: 'bounce' });
    expect(await sentIndex.find(mail.id)).toMatchObject({ recipients: ['bob@example.com'] });
  });

  test('is known if it was recorded before the message was removed', async () => {
    const { recorder, sentIndex, sent, suppressions, store, events } = start({ retainMs: 300 });
    const writer = startSentIndexWriter({ events, sentIndex, onError() {} });
    const { id } = await sent();
    const bounce = aBounce();
    await recorder.record(id, bounce);
    await writer.drain();
    expect(await sentIndex.find(id)).toMatchObject({ recipients: [] });
    await suppressions.remove('ada@example.com');
    await expect.poll(() => store.get(id), { timeout: 5000 }).toBeNull();
    expect(await recorder.record(id, bounce)).toBe('ignored');
    expect(await suppressions.get('ada@example.com')).toBeNull();
  });

  test('is ignored if it names none of its recipients, as is any other mail', async () => {
    const { recorder, sentIndex } = start();
    await sentIndex.add([{ ...mail, recipients: ['bob@example.com'] }]);
    expect(await recorder.record(mail.id, aBounce())).toBe('ignored');
    expect(await recorder.record(mail.id, aReply())).toBe('ignored');
    expect(await sentIndex.find(mail.id)).toMatchObject({ recipients: ['bob@example.com'] });
  });
});
