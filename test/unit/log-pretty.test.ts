import { styleText } from 'node:util';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { createPrettyFormat } from '../../src/log-pretty.ts';

const plain = createPrettyFormat((_color, text) => text);
const TIME = '2026-11-30T10:53:31.157Z';

/** Formats an entry and replaces its local time. */
function show(entry: object, format = plain): string {
  const text = format(`${JSON.stringify({ level: 'info', time: TIME, ...entry })}\n`);
  return text.replace(/\d\d:\d\d:31\.157/, '00:00:31.157');
}

describe('the log in a terminal', () => {
  test('shows time, sign, message, code and fields in one line, then detail and hint', () => {
    const entry = {
      level: 'error',
      account: 'bot@acme.com',
      code: 'tls_failed',
      detail: 'The certificate has expired.',
      hint: 'Renew it.',
      until: TIME,
      msg: 'account paused',
    };
    expect(show(entry)).toBe(
      [
        `00:00:31.157 ✖ account paused  tls_failed  account=bot@acme.com until=${TIME}`,
        '               The certificate has expired.',
        '               Renew it.',
        '',
      ].join('\n'),
    );
    expect(show({ level: 'warn', msg: 'odd' })).toBe('00:00:31.157 ▲ odd\n');
  });

  test('shows lists, objects and empty values, and quotes text with blanks', () => {
    const entry = { accounts: ['a@x.com', 'b@x.com'], none: [], to: 'a b', and: { c: 1 }, no: null, off: '' };
    expect(show({ ...entry, msg: 'm' })).toBe(
      '00:00:31.157 ● m  accounts=a@x.com,b@x.com none=[] to="a b" and={"c":1} no=null off=""\n',
    );
  });

  test('shows the stack of an error below its type and message', () => {
    const stack = 'TypeError: broken\n    at a (file.ts:1:2)';
    const shown = [
      '00:00:31.157 ● m  code=1',
      '               TypeError: broken',
      '                   at a (file.ts:1:2)',
      '',
    ].join('\n');
    const fields = { 'err.code': 1 };
    expect(show({ msg: 'm', err: { type: 'TypeError', message: 'broken', stack, ...fields } })).toBe(
      shown.replace('code=1', 'err.code=1'),
    );
    const withoutHeading = stack.slice(stack.indexOf('\n') + 1);
    expect(show({ msg: 'm', err: { type: 'TypeError', stack: withoutHeading } })).toBe(
      shown.replace('  code=1', '').replace(': broken', ''),
    );
  });

  test('colors the sign, the code and the hint', () => {
    const style: Parameters<typeof createPrettyFormat>[0] = (color, text) =>
      styleText(color, text, { validateStream: false });
    const text = show({ level: 'error', msg: 'm', code: 'c', hint: 'h' }, createPrettyFormat(style));
    for (const part of [style('red', '✖'), style('yellow', 'c'), style('cyan', 'h')])
      expect(text).toContain(part);
    expect(show({ msg: 'm' }, createPrettyFormat(style)).endsWith(`${style('bold', 'm')}\n`)).toBe(true);
  });

  test.each([
    ['escape sequences', '\u001b[2J\u001b]0;title\u0007'],
    ['C1 controls', '\u009b31m\u0085'],
    ['line ends', 'a\r\n00:00:00.000 ● forged\u2028b\u2029\u000b'],
    ['backspaces', 'safe\b\b\b\b\u007f'],
    ['changes of direction', '\u202eevil\u2066\u200f'],
    ['lone surrogates', '\ud83d'],
  ])('escapes %s in every field', (_, hostile) => {
    const err = { type: hostile, message: hostile, stack: `${hostile}\n${hostile}` };
    const fields = {
      code: hostile,
      url: hostile,
      detail: hostile,
      hint: hostile,
      [hostile]: [hostile, hostile],
    };
    const lines: string[] = [];
    const logger = pino(
      { base: null, formatters: { level: (level) => ({ level }) }, timestamp: () => `,"time":"${TIME}"` },
      { write: (line: string) => void lines.push(plain(line)) },
    );
    logger.info({ ...fields, err, other: { [hostile]: hostile } }, hostile);
    const [text = ''] = lines;
    const stackLines = 2 + [...hostile].filter((character) => character === '\n').length * 2;
    const [first, ...more] = text.slice(0, -1).split('\n');
    expect(more.length).toBeLessThanOrEqual(2 + stackLines);
    for (const line of more) expect(line).toMatch(/^ {15}/);
    for (const line of [first, ...more]) expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
  });
});
