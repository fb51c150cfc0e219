import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { classify, classifyReply, type Stage } from '../../src/adapters/smtp/errors/classify.ts';
import type { DeliveryError } from '../../src/core/delivery/delivery.ts';
import type { Fault } from '../../src/core/delivery/outcome.ts';
import { parseReply } from '../../src/core/delivery/smtp-reply.ts';
import { createEvents } from '../../src/core/events.ts';
import { logEvents } from '../../src/log.ts';
import { toWire } from '../../src/simulator/gmail/replies.ts';
import facts from '../fixtures/gmail-replies.json' with { type: 'json' };
import { aDelivery } from '../helpers/delivery.ts';
import { aFailure } from '../helpers/outcome.ts';

const ADDRESS = 'ada.lovelace+tag@mail.example.com';
const PARTS = /lovelace|@|%40|mail\.?example/i;

/** Returns the log lines of a failed attempt and of the pause that may follow. */
function linesOf(fault: Fault, ...recipients: string[]): Record<string, string>[] {
  const lines: Record<string, string>[] = [];
  const events = createEvents();
  logEvents(events, pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) }));
  const delivery = aDelivery({
    recipients: (recipients.length > 0 ? recipients : [ADDRESS]).map((email) => ({
      email,
      status: 'pending',
      smtp: null,
    })),
  });
  const attempt = { number: 1, account: 'bot', startedAt: 1, endedAt: 2, smtp: null };
  events.emit('message.attempted', delivery, attempt as never, aFailure(fault));
  events.emit('account.paused', 'bot', fault.error as DeliveryError, 1, true);
  return lines;
}

function faultOf(reply: string, stage: Stage = 'rcpt'): Fault {
  return classifyReply(parseReply(reply), stage);
}

describe('a failed attempt', () => {
  test('is logged with its code, the reply of the server and a hint', () => {
    const [line] = linesOf(faultOf('552 5.2.2 The inbox is out of storage space.'));
    expect(line).toMatchObject({
      msg: 'attempt failed',
      code: 'mailbox_full',
      detail: 'The server refused the recipient: 552 5.2.2 The inbox is out of storage space.',
      hint: expect.stringMatching(/\w/),
    });
  });

  test('that is a bug is logged without the message of the error, which can quote content', () => {
    const fault = classify(new TypeError('the-body-is-secret'), {
      sessionReady: false,
      bodyStarted: false,
      bodyEnded: false,
    });
    const [line] = linesOf(fault);
    expect(line).toMatchObject({ code: 'internal_error', hint: expect.any(String) });
    expect(JSON.stringify(line)).not.toContain('the-body-is-secret');
  });
});

describe('the log names no recipient', () => {
  const rows = facts.flatMap(({ code, enhanced, stage, texts }) =>
    texts.map((text) => ({ code, enhanced, stage: stage as Stage, text })),
  );

  test.each(rows.filter(({ text }) => text.includes('@')))(
    'of "$text"',
    ({ code, enhanced, stage, text }) => {
      const [, written = ''] = /<(.*@.*)>/.exec(text) ?? [];
      for (const recipient of [written, ADDRESS])
        for (const { detail } of linesOf(faultOf(`${code} ${enhanced} ${text}`, stage), recipient)) {
          expect(detail).not.toContain(written);
          expect(detail).toContain('[address]');
        }
    },
  );

  test("of any reply of Gmail that quotes it, in the fixture's words", () => {
    for (const { code, enhanced, stage, text } of rows)
      for (const quoted of [
        ADDRESS,
        `<${ADDRESS}>`,
        `"${ADDRESS}"`,
        `mailto:${ADDRESS},`,
        ADDRESS.toUpperCase(),
      ])
        for (const line of linesOf(faultOf(`${code} ${enhanced} ${text} ${quoted}`, stage)))
          expect(line.detail).not.toMatch(PARTS);
  });

  test.each(['invalidSender', 'invalidRecipient'] as const)('of the simulator, in %s', (name) => {
    const reply = toWire(name, { id: 'x', address: ADDRESS, ip: '192.0.2.1' });
    expect(reply).toContain(ADDRESS);
    for (const line of linesOf(faultOf(reply))) expect(line.detail).not.toMatch(PARTS);
  });

  test('wherever its server wraps the address', () => {
    for (let at = 1; at < ADDRESS.length; at += 1) {
      const reply = `550-5.1.1 No such user: ${ADDRESS.slice(0, at)}\n550 5.1.1 ${ADDRESS.slice(at)} here`;
      const [line] = linesOf(faultOf(reply));
      expect(line?.detail).toBe('The server refused the recipient: 550 5.1.1 No such user: [address] here.');
    }
  });

  test('of a message with two thousand', () => {
    const many = Array.from({ length: 2000 }, (_, i) => `some.person${i}@company${i}.example.com`);
    const [line] = linesOf(
      faultOf(`550 5.1.1 No such user: ${many.at(-1)?.replace('.', '. ')} here`),
      ...many,
    );
    expect(line?.detail).toBe('The server refused the recipient: 550 5.1.1 No such user: [address] here.');
  });

  test('wherever a long reply is cut', () => {
    for (let length = 320; length < 400; length += 1)
      for (const line of linesOf(faultOf(`550 5.1.1 ${'x'.repeat(length)} ${ADDRESS}`)))
        expect(line.detail).not.toMatch(/ada|lovelace/);
  });

  test.each([
    ['another address', 'Relaying of <bob@example.net> denied', 'Relaying of [address] denied'],
    ['a quoted local part', 'No "bob smith"@example.net here', 'No [address] here'],
    ['a non-ASCII address', 'No jörg@exämple.com here', 'No [address] here'],
    ['a URL', 'See https://example.net/?to=bob%40example.net now', 'See [address] now'],
  ])('that is %s', (_, text, shown) => {
    for (const line of linesOf(faultOf(`550 5.7.1 ${text}`)))
      expect(line.detail).toBe(`The server refused the recipient: 550 5.7.1 ${shown}.`);
  });
});
