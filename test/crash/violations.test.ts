import { describe, expect, test } from 'vitest';
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import {
  type AccountEvent,
  type ClientRequest,
  type Copy,
  type Evidence,
  findViolations,
  type ReportedEvent,
  type Shown,
  tallyOf,
} from './violations.ts';

type AttemptShown = Shown['attempts'][number];

const ANSWERED: AttemptShown = {
  number: 1,
  started_at: '',
  ended_at: '',
  account: 'bot@acme.test',
  smtp: null,
  error: null,
  confirmed_by: null,
};
const error = (hint: string): AttemptShown['error'] => ({
  code: 'connection_lost',
  title: '',
  detail: '',
  hint,
  retryable: true,
  scope: 'message',
  smtp: null,
});
const UNCERTAIN = { ...ANSWERED, error: error(ERRORS.delivery_uncertain.hint) };
const REFUSED = { ...ANSWERED, error: error(ERRORS.connection_lost.hint) };

const shown = (patch: Partial<Shown> = {}): Shown => ({
  id: 'msg_1',
  status: 'sent',
  message_id: '<msg_1@acme.test>',
  subject: 'm1',
  possible_duplicate: false,
  attempts: [ANSWERED],
  ...patch,
});
const asked = (patch: Partial<ClientRequest> = {}): ClientRequest => ({
  label: 'm1',
  ids: new Set(['msg_1']),
  canceled: false,
  ...patch,
});
const copy = (patch: Partial<Copy> = {}): Copy => ({
  label: 'm1',
  messageId: '<msg_1@acme.test>',
  raw: 'x',
  ...patch,
});

const reported = (patch: Partial<ReportedEvent> = {}): ReportedEvent => ({
  eventId: 'evt_1',
  type: 'message.sent',
  sequence: 3,
  message: 'msg_1',
  ...patch,
});

/** Events of the account, one a second: it was paused for these reasons, or resumed. */
const accountEvents = (...reasons: (ErrorCode | 'resumed')[]): AccountEvent[] =>
  reasons.map((reason, i) => ({
    eventId: `evt_${i}`,
    type: reason === 'resumed' ? 'account.resumed' : 'account.paused',
    timestamp: new Date(i * 1000).toISOString(),
    code: reason === 'resumed' ? null : reason,
  }));

/**
 * Evidence of one message that was requested, acknowledged and sent, with the patch of the test.
 */
const evidence = (message: Shown | null, patch: Partial<Evidence> = {}): Evidence => ({
  asked: [asked()],
  found: new Map(message ? [[message.id, message]] : []),
  listed: message ? [message] : [],
  copies: [copy()],
  reported: message ? [reported({ type: `message.${message.status}` })] : [],
  accountEvents: [],
  isPaused: false,
  ...patch,
});

describe('findViolations accepts', () => {
  test.each<[string, Evidence]>([
    ['a message that was sent once', evidence(shown())],
    [
      'a reported second copy after an uncertain attempt',
      evidence(shown({ attempts: [UNCERTAIN, ANSWERED], possible_duplicate: true }), {
        copies: [copy(), copy()],
      }),
    ],
    [
      'one copy after an uncertain attempt',
      evidence(shown({ attempts: [UNCERTAIN, ANSWERED], possible_duplicate: true })),
    ],
    ['an uncertain message with a copy', evidence(shown({ status: 'uncertain', attempts: [UNCERTAIN] }))],
    [
      'an uncertain message without a copy',
      evidence(shown({ status: 'uncertain', attempts: [UNCERTAIN] }), { copies: [] }),
    ],
    [
      'a failed message without a copy',
      evidence(shown({ status: 'failed', attempts: [REFUSED] }), { copies: [] }),
    ],
    [
      'a canceled message without a copy',
      evidence(shown({ status: 'canceled', attempts: [] }), {
        asked: [asked({ canceled: true })],
        copies: [],
      }),
    ],
    [
      'a message whose client got no acknowledgment',
      evidence(shown(), { asked: [asked({ ids: new Set() })], found: new Map() }),
    ],
    ['a request that created no message', evidence(null, { asked: [asked({ ids: new Set() })], copies: [] })],
    [
      'an event that was reported twice, and another one before',
      evidence(shown(), {
        reported: [
          reported(),
          reported(),
          reported({ eventId: 'evt_2', type: 'message.deferred', sequence: 2 }),
        ],
      }),
    ],
    [
      'an account that was paused and resumed, reported out of order and repeatedly',
      evidence(shown(), {
        accountEvents: [1, 0, 1].flatMap((i) => accountEvents('bad_credentials', 'resumed')[i] ?? []),
      }),
    ],
    [
      'an account that is still paused',
      evidence(shown(), {
        accountEvents: accountEvents('bad_credentials', 'resumed', 'bad_credentials'),
        isPaused: true,
      }),
    ],
    [
      'an account that was paused for a second reason and resumed once',
      evidence(shown(), { accountEvents: accountEvents('connection_lost', 'bad_credentials', 'resumed') }),
    ],
    [
      'two instances that were paused and resumed',
      evidence(shown(), {
        accountEvents: accountEvents('connection_lost', 'connection_lost', 'resumed', 'resumed'),
      }),
    ],
  ])('%s', (_, all) => {
    expect(findViolations(all)).toEqual([]);
  });
});

describe('findViolations reports', () => {
  test.each<[string, Evidence, RegExp]>([
    [
      'a missing acknowledged message',
      evidence(null, { copies: [] }),
      /^msg_1 was acknowledged and is missing$/,
    ],
    [
      'an unlisted acknowledged message',
      evidence(shown(), { listed: [] }),
      /^msg_1 was acknowledged and is not listed$/,
    ],
    [
      'an unknown status',
      evidence(shown({ status: 'lost' as never })),
      /^msg_1 has the unknown status lost$/,
    ],
    [
      'a message that is never settled',
      evidence(shown({ status: 'queued', attempts: [] }), { copies: [] }),
      /^msg_1 is still queued$/,
    ],
    [
      'a sent message without a copy',
      evidence(shown(), { copies: [] }),
      /^msg_1 is sent, but Gmail has no copy$/,
    ],
    [
      'a sent message without a successful attempt',
      evidence(shown({ attempts: [UNCERTAIN] })),
      /^msg_1 is sent without a successful attempt$/,
    ],
    [
      'more copies than attempts',
      evidence(shown(), { copies: [copy(), copy()] }),
      /has 2 copies from 1 answered and 0 uncertain attempts$/,
    ],
    [
      'a canceled message with a copy',
      evidence(shown({ status: 'canceled', attempts: [] })),
      /^msg_1 is canceled, but has 1 copies/,
    ],
    [
      'a failed message with a copy',
      evidence(shown({ status: 'failed', attempts: [REFUSED] })),
      /^msg_1 is failed, but has 1 copies/,
    ],
    [
      'a second copy without possible_duplicate',
      evidence(shown({ attempts: [UNCERTAIN, ANSWERED] }), { copies: [copy(), copy()] }),
      /has 2 copies without possible_duplicate$/,
    ],
    [
      'two different copies',
      evidence(shown({ attempts: [UNCERTAIN, ANSWERED], possible_duplicate: true }), {
        copies: [copy(), copy({ raw: 'y' })],
      }),
      /^msg_1 has different copies$/,
    ],
    [
      'a lost cancellation',
      evidence(shown(), { asked: [asked({ canceled: true })] }),
      /^m1 was canceled and is sent$/,
    ],
    [
      'a copy of an unacknowledged message that was not sent',
      evidence(shown({ status: 'expired', attempts: [] }), {
        asked: [asked({ ids: new Set() })],
        found: new Map(),
      }),
      /^msg_1 is expired, but has 1 copies/,
    ],
    [
      'a copy that the service does not know',
      evidence(null, { asked: [asked({ ids: new Set() })] }),
      /^Gmail has m1/,
    ],
    [
      'a settled message that no webhook reported',
      evidence(shown(), { reported: [reported({ type: 'message.deferred' })] }),
      /^msg_1 is sent, and no webhook reported it$/,
    ],
    [
      'two events of one change',
      evidence(shown(), { reported: [reported(), reported({ eventId: 'evt_2' })] }),
      /^msg_1 has 2 events with the sequence 3$/,
    ],
    [
      'two events of one settlement',
      evidence(shown(), { reported: [reported(), reported({ eventId: 'evt_2', sequence: 4 })] }),
      /^msg_1 was settled once, by 2 events$/,
    ],
    [
      'a pause of the account that no webhook reported',
      evidence(shown(), { accountEvents: accountEvents('bad_credentials', 'resumed', 'resumed') }),
      /^the account was resumed more often than it was paused$/,
    ],
    [
      'a resumption of the account that no webhook reported',
      evidence(shown(), { accountEvents: accountEvents('bad_credentials', 'bad_credentials', 'resumed') }),
      /^the account was paused twice for bad_credentials$/,
    ],
    [
      'the latest pause of the account that no webhook reported',
      evidence(shown(), { accountEvents: accountEvents('bad_credentials', 'resumed'), isPaused: true }),
      /^the last event of the account is account.resumed, not account.paused$/,
    ],
    [
      'the first pause of the account that no webhook reported',
      evidence(shown(), { isPaused: true }),
      /^the last event of the account is missing, not account.paused$/,
    ],
    [
      'a copy that no client requested',
      evidence(shown(), {
        asked: [asked(), asked({ label: 'm2' })],
        copies: [copy(), copy({ label: 'm3' })],
      }),
      /^m3 was sent/,
    ],
  ])('%s', (_, all, words) => {
    expect(findViolations(all)).toContainEqual(expect.stringMatching(words));
  });

  test('two messages from one request, whether both, one or none were acknowledged', () => {
    const [one, other] = [shown(), shown({ id: 'msg_2', message_id: '<msg_2@acme.test>' })];
    const listed = [one, other];
    for (const ids of [['msg_1', 'msg_2'], ['msg_1'], []]) {
      const found = new Map(
        listed.filter(({ id }) => ids.includes(id)).map((message) => [message.id, message]),
      );
      const copies = [copy(), copy({ messageId: '<msg_2@acme.test>' })];
      const reported: ReportedEvent[] = [];
      const violations = findViolations({
        asked: [asked({ ids: new Set(ids) })],
        found,
        listed,
        copies,
        reported,
        accountEvents: [],
        isPaused: false,
      });
      expect(violations).toContainEqual(expect.stringMatching(/^m1 became 2 messages: /));
      expect(violations).toContainEqual(expect.stringMatching(/^m1 was sent under 2 Message-IDs: /));
      expect(violations.filter((words) => words === 'm1 was acknowledged as msg_1 and msg_2')).toHaveLength(
        ids.length === 2 ? 1 : 0,
      );
    }
  });
});

test('tallyOf counts each acknowledged message once, and the missing ones', () => {
  const repeated = [
    asked(),
    asked({ label: 'm2', ids: new Set(['msg_2']) }),
    asked({ label: 'm3', ids: new Set() }),
  ];
  expect(tallyOf(evidence(shown(), { asked: repeated }))).toMatchObject({
    sent: 1,
    missing: 1,
    queued: 0,
    failed: 0,
  });
});
