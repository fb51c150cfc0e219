import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createSinkSession } from '../../bench/parts/sink-session.ts';

const LOGIN = `AUTH PLAIN ${Buffer.from('\0ada\0secret').toString('base64')}\r\n`;
const TRANSACTION = 'MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n';

/** Opens a logged-in session and passes it these bytes, cut before each of these indices. */
function talk(bytes: string, cuts: readonly number[] = []) {
  const session = createSinkSession('ada', 'secret');
  session.receive(Buffer.from(LOGIN));
  const stops = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let text = '';
  let accepted = 0;
  for (const [index, start] of [0, ...stops].entries()) {
    const replies = session.receive(Buffer.from(bytes.slice(start, stops[index])));
    text += replies.text;
    accepted += replies.accepted;
  }
  return { text, accepted };
}

/** Content with many of the bytes that end a message, its dots doubled, and its end. */
const content = fc
  .array(fc.constantFrom('\r\n', '\n', '\r', '.', '..', 'a', 'QUIT\r\n', '\r\n.'))
  .map((parts) => parts.join('').replaceAll('\r\n.', '\r\n..').replace(/^\./, '..'))
  .map((body) => `${body}${body === '' || body.endsWith('\r\n') ? '' : '\r\n'}.\r\n`);

test('counts each message once, wherever the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(content, { maxLength: 4 }), fc.array(fc.nat()), (contents, cuts) => {
      const bytes = contents.map((body) => TRANSACTION + body).join('');
      const { text, accepted } = talk(bytes, cuts);
      expect(accepted).toBe(contents.length);
      expect(text.match(/^354 /gm) ?? []).toHaveLength(contents.length);
      expect(text.match(/^250 /gm) ?? []).toHaveLength(3 * contents.length);
    }),
    { numRuns: 2000 },
  );
});

test('accepts no message before its final dot', () => {
  const bytes = `${TRANSACTION}.\r\n`;
  for (let length = 0; length < bytes.length; length += 1)
    expect(talk(bytes.slice(0, length)).accepted).toBe(0);
  expect(talk(bytes).accepted).toBe(1);
});

test('refuses wrong credentials, and mail before the login', () => {
  const session = createSinkSession('ada', 'other');
  expect(session.receive(Buffer.from(`${LOGIN}${TRANSACTION}`)).text).toMatch(
    /^535 .*\r\n530 .*\r\n503 .*\r\n503 .*\r\n$/,
  );
});

test('refuses a message without a recipient', () => {
  expect(talk('MAIL FROM:<a@b.test>\r\nDATA\r\n').text).toMatch(/^250 .*\r\n503 /);
});
