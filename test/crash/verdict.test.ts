import { describe, expect, test } from 'vitest';
import { ERRORS } from '../../src/core/errors.ts';
import { type Asked, type Copy, type Evidence, findViolations, type Shown, tallyOf } from './verdict.ts';

type AttemptShown = Shown['attempts'][number];

const ANSWERED: AttemptShown = {
  number: 1,
  started_at: '',
  ended_at: '',
  account: 'bot@acme.test',
  smtp: null,
  error: null,
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
const asked = (patch: Partial<Asked> = {}): Asked => ({
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

/** One message that was asked for, acknowledged and sent, with what the test puts in its place. */
const evidence = (message: Shown | null, patch: Partial<Evidence> = {}): Evidence => ({
  asked: [asked()],
  found: new Map(message ? [[message.id, message]] : []),
  listed: message ? [message] : [],
  copies: [copy()],
  ...patch,
});

describe('nothing is said of', () => {
  test.each<[string, Evidence]>([
    ['a message that was sent once', evidence(shown())],
    [
      'a second copy after an uncertain attempt, told',
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
      'an uncertain message without one',
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
      'a message whose caller was not told of it',
      evidence(shown(), { asked: [asked({ ids: new Set() })], found: new Map() }),
    ],
    [
      'a request that came to nothing',
      { asked: [asked({ ids: new Set() })], found: new Map(), listed: [], copies: [] },
    ],
  ])('%s', (_, all) => {
    expect(findViolations(all)).toEqual([]);
  });
});

describe('it is found', () => {
  test.each<[string, Evidence, RegExp]>([
    [
      'that an acknowledged message is missing',
      evidence(null, { copies: [] }),
      /^msg_1 was acknowledged and is missing$/,
    ],
    [
      'that an acknowledged message is not listed',
      evidence(shown(), { listed: [] }),
      /^msg_1 was acknowledged and is not listed$/,
    ],
    [
      'that a message has a status that there is not',
      evidence(shown({ status: 'lost' as never })),
      /^msg_1 is lost, which is no status$/,
    ],
    [
      'that a message waits for ever',
      evidence(shown({ status: 'queued', attempts: [] }), { copies: [] }),
      /^msg_1 is still queued$/,
    ],
    [
      'that a sent message was never sent',
      evidence(shown(), { copies: [] }),
      /^msg_1 is sent, and Gmail has no copy$/,
    ],
    [
      'that a message is sent by no attempt',
      evidence(shown({ attempts: [UNCERTAIN] })),
      /^msg_1 is sent by no attempt$/,
    ],
    [
      'that there is a copy too many',
      evidence(shown(), { copies: [copy(), copy()] }),
      /has 2 copies by 1 answered and 0 uncertain attempts$/,
    ],
    [
      'that a canceled message was sent',
      evidence(shown({ status: 'canceled', attempts: [] })),
      /^msg_1 is canceled, and has 1 copies/,
    ],
    [
      'that a failed message was sent',
      evidence(shown({ status: 'failed', attempts: [REFUSED] })),
      /^msg_1 is failed, and has 1 copies/,
    ],
    [
      'that a second copy is not told of',
      evidence(shown({ attempts: [UNCERTAIN, ANSWERED] }), { copies: [copy(), copy()] }),
      /does not say possible_duplicate$/,
    ],
    [
      'that two copies differ',
      evidence(shown({ attempts: [UNCERTAIN, ANSWERED], possible_duplicate: true }), {
        copies: [copy(), copy({ raw: 'y' })],
      }),
      /^msg_1 has copies that differ$/,
    ],
    [
      'that a cancellation was forgotten',
      evidence(shown(), { asked: [asked({ canceled: true })] }),
      /^m1 was canceled and is sent$/,
    ],
    [
      'that a message nobody was told of has a copy too many',
      evidence(shown({ status: 'expired', attempts: [] }), {
        asked: [asked({ ids: new Set() })],
        found: new Map(),
      }),
      /^msg_1 is expired, and has 1 copies/,
    ],
    [
      'that Gmail has what the service does not know',
      evidence(null, { asked: [asked({ ids: new Set() })] }),
      /^Gmail has m1/,
    ],
    [
      'that something was sent that nobody asked for',
      evidence(shown(), {
        asked: [asked(), asked({ label: 'm2' })],
        copies: [copy(), copy({ label: 'm3' })],
      }),
      /^m3 was sent/,
    ],
  ])('%s', (_, all, words) => {
    expect(findViolations(all)).toContainEqual(expect.stringMatching(words));
  });

  test('that one request became two messages, whether its caller was told of both, of one, or of none', () => {
    const [one, other] = [shown(), shown({ id: 'msg_2', message_id: '<msg_2@acme.test>' })];
    const listed = [one, other];
    for (const ids of [['msg_1', 'msg_2'], ['msg_1'], []]) {
      const found = new Map(
        listed.filter(({ id }) => ids.includes(id)).map((message) => [message.id, message]),
      );
      const copies = [copy(), copy({ messageId: '<msg_2@acme.test>' })];
      const violations = findViolations({ asked: [asked({ ids: new Set(ids) })], found, listed, copies });
      expect(violations).toContainEqual(expect.stringMatching(/^m1 became 2 messages: /));
      expect(violations).toContainEqual(expect.stringMatching(/^m1 was sent under 2 Message-IDs: /));
      expect(violations.filter((words) => words === 'm1 was acknowledged as msg_1 and msg_2')).toHaveLength(
        ids.length === 2 ? 1 : 0,
      );
    }
  });
});

test('the equation counts each message that was acknowledged once, and those that are missing', () => {
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
