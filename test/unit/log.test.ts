import { pino } from 'pino';
import { expect, test } from 'vitest';
import { createEvents } from '../../src/core/events.ts';
import { applyInbound } from '../../src/core/inbound/apply.ts';
import { logEvents } from '../../src/log.ts';
import { aDelivery, aLookup, anAttempt, aTrace } from '../helpers/delivery.ts';
import { aBounce, aReply, aReported } from '../helpers/inbound.ts';
import { anAcceptance } from '../helpers/outcome.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

test('every log line names a message by msg_id, never by message_id', () => {
  const lines: Record<string, unknown>[] = [];
  const events = createEvents();
  logEvents(events, pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) }));
  const delivery = aDelivery();
  const attempt = {
    number: 1,
    account: 'bot@acme.com',
    startedAt: 1,
    endedAt: 2,
    smtp: null,
    error: null,
    possibleDuplicate: false,
  };
  events.emit('message.attempted', delivery, attempt as never, anAcceptance(['ada@example.com']));
  events.emit('webhook.attempted', aNotice({ about: delivery.id }), { kind: 'taken' });
  events.emit('webhook.dropped', aNotice({ about: delivery.id }), 'no room');
  events.emit('worker.failed', delivery.id, new Error('broken'));
  for (const line of lines) expect(line).toMatchObject({ msg_id: delivery.id });
  expect(lines).toHaveLength(4);

  events.emit('webhook.attempted', aNotice({ type: 'account.paused', about: 'bot@acme.com' }), {
    kind: 'taken',
  });
  events.emit('worker.failed', 'ntc_1', new Error('broken'));
  events.emit('worker.failed', '', new Error('broken'));
  expect(lines.slice(4)).toMatchObject([
    { account: 'bot@acme.com' },
    { notice_id: 'ntc_1' },
    { msg: 'queue worker failed' },
  ]);
  for (const line of lines.slice(4)) expect(line).not.toHaveProperty('msg_id');
  for (const line of lines) expect(Object.keys(line)).not.toEqual(expect.arrayContaining(['message_id']));
});

test('every line about a message with a trace has its trace_id, and others have none', () => {
  const lines: Record<string, unknown>[] = [];
  const events = createEvents();
  logEvents(events, pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) }));
  const trace = aTrace();
  const attempt = { number: 1, account: 'bot@acme.com', startedAt: 1, endedAt: 2, smtp: null, error: null };
  events.emit('message.attempted', aDelivery({ trace }), attempt, anAcceptance(['ada@example.com']));
  events.emit('webhook.attempted', aNotice({ trace }), { kind: 'taken' });
  events.emit('webhook.dropped', aNotice({ trace }), 'no room');
  for (const line of lines) expect(line).toMatchObject({ trace_id: '4bf92f3577b34da6a3ce929d0e0e4736' });
  expect(lines.splice(0)).toHaveLength(3);
  events.emit('message.attempted', aDelivery(), attempt, anAcceptance(['ada@example.com']));
  events.emit('webhook.attempted', aNotice(), { kind: 'taken' });
  for (const line of lines) expect(line).not.toHaveProperty('trace_id');
  expect(lines).toHaveLength(2);
});

test('a search of Sent Mail is logged with its result, and without an address of a recipient', () => {
  const lines: Record<string, unknown>[] = [];
  const events = createEvents();
  logEvents(events, pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) }));
  const delivery = aDelivery({ lookup: aLookup() });
  const fault = { code: 'imap_unavailable', detail: 'No ada@example.com here', isRefusal: false } as const;
  events.emit('message.searched', delivery, { kind: 'found' });
  events.emit('message.searched', delivery, { kind: 'failed', fault });
  const common = { msg_id: delivery.id, account: 'bot@acme.com', attempt: 1 };
  expect(lines).toMatchObject([
    { level: 30, ...common, found: true, msg: 'Sent Mail searched' },
    { level: 40, ...common, code: 'imap_unavailable', msg: 'Sent Mail could not be searched' },
  ]);
  expect(JSON.stringify(lines)).not.toContain('ada@example.com');
});

test('mail that follows a message is logged without an address', () => {
  const lines: Record<string, unknown>[] = [];
  const events = createEvents();
  logEvents(events, pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) }));
  const sent = aDelivery({ status: 'sent', attempts: [anAttempt()] });
  const bounce = aBounce({ recipients: [aReported({ reportingMta: 'mx of ada@example.com' })] });
  for (const mail of [bounce, aReply(), aReply({ kind: 'auto_replied' }), aBounce({ kind: 'delayed' })]) {
    const { delivery, followUp } = applyInbound(sent, mail) ?? {};
    if (delivery && followUp) events.emit('message.followed_up', delivery, followUp);
  }
  const { email, suppress: _, ...rest } = aReported();
  const mail = { id: sent.id, owner: 'crm', account: 'bot@acme.com', recipients: [email] };
  events.emit('message.bounced_late', mail, [{ email, bounce: { at: 1, unverified: true, ...rest } }]);
  const about = { msg_id: sent.id, account: 'bot@acme.com' };
  const reason = { class: 'hard', smtp_code: 550, smtp_enhanced: '5.1.1' };
  expect(lines).toMatchObject([
    { ...about, ...reason, reporting_mta: 'mx of [address]', unverified: false, msg: 'recipient bounced' },
    { ...about, msg: 'message replied to' },
    { ...about, msg: 'message replied to automatically' },
    { ...about, msg: 'message delayed by its receiving server' },
    { ...about, ...reason, unverified: true, msg: 'recipient of a message that is no longer stored bounced' },
  ]);
  expect(JSON.stringify(lines)).not.toContain('example.com');
});

test('a mailbox that cannot be read is logged without the addresses in the text of its server', () => {
  const lines: Record<string, unknown>[] = [];
  const events = createEvents();
  logEvents(events, pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) }));
  const detail = 'The IMAP server refused the login: ada@example.com is unknown.';
  const fault = { code: 'imap_login_refused', detail, isRefusal: true } as const;
  events.emit('account.mailbox', 'bot@acme.com', fault);
  events.emit('account.mailbox', 'bot@acme.com', null);
  expect(lines).toMatchObject([
    {
      account: 'bot@acme.com',
      code: 'imap_login_refused',
      detail: 'The IMAP server refused the login: [address] is unknown.',
      msg: 'mailbox cannot be read; sending goes on',
    },
    { account: 'bot@acme.com', msg: 'mailbox can be read again' },
  ]);
});
