import { domainToASCII } from 'node:url';
import fc from 'fast-check';
import PostalMime, { decodeWords, type Address as ParsedAddress } from 'postal-mime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { goodRequest, hostilePatch, type Item, type Request, TAG } from '../helpers/hostile.ts';
import { APP_PASSWORD, type ServiceUnderTest, startService } from '../helpers/service.ts';
import { parseRawMail } from '../helpers/smtp/raw-mail.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const RUNS = 120;
const TIMEOUT_MS = 60_000;

let gmail: Simulator;
let service: ServiceUnderTest;

beforeAll(async () => {
  gmail = await startSimulator({ password: APP_PASSWORD, retain: 10 });
  service = await startService({
    smtp: gmail.url,
    ca: gmail.ca,
    env: { SMTP_CONNECTIONS: '1', FROM_POLICY: 'allow' },
  });
});
afterAll(async () => {
  await service.close();
  await gmail.close();
});

describe('a request with hostile text', { timeout: TIMEOUT_MS }, () => {
  test('is refused with the name of the field, or puts only its own recipients and headers on the wire', async () => {
    const seen = { refused: 0, sent: 0 };
    await fc.assert(
      fc.asyncProperty(goodRequest, hostilePatch, async (good, patch) => {
        const { transactions } = gmail.counters;
        const { status, body } = await service.send({ ...good, ...patch }, { wait: 30 });
        if (status === 200 && !hasControlCharacter(withoutBlanks(patch))) {
          seen.sent += 1;
          return expectArrival({ ...good, ...patch }, body.message_id);
        }
        seen.refused += 1;
        expect(status, JSON.stringify(body)).toBe(422);
        const fields = body.errors?.map(({ pointer }) => pointer.split('/')[1]);
        expect(new Set(fields)).toEqual(new Set(Object.keys(patch)));
        expect(gmail.counters.transactions).toBe(transactions);
      }),
      { numRuns: RUNS },
    );
    expect(seen.refused).toBeGreaterThan(RUNS / 20);
    expect(seen.sent).toBeGreaterThan(RUNS / 20);
  });

  test('that is valid arrives as requested', async () => {
    const wide = `a${' '.repeat(100)}b`;
    const folded = {
      to: [{ email: 'ada@example.com', name: wide }],
      subject: wide,
      text: '.',
      headers: { 'X-Wide': wide },
    };
    await fc.assert(
      fc.asyncProperty(goodRequest, async (request) => {
        const { status, body } = await service.send(request, { wait: 30 });
        expect(status, JSON.stringify(body)).toBe(200);
        await expectArrival(request, body.message_id);
      }),
      { numRuns: RUNS, examples: [[{ ...folded, attachments: [{ filename: wide, content: '' }] }]] },
    );
  });
});

/** Message-IDs may have blanks around them, and a References header may be folded. */
function withoutBlanks({ in_reply_to, references, ...rest }: Partial<Request>): unknown {
  const ids = [in_reply_to, references].flat().filter((id) => typeof id === 'string');
  return { ...rest, ids: ids.map((id) => id.replace(/\r?\n(?=[ \t])|[ \t]/g, '')) };
}

/** Whether a value, or the name of a header, contains a control character. */
function hasControlCharacter(value: unknown): boolean {
  if (typeof value === 'string') return /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u.test(value);
  return (
    typeof value === 'object' && value !== null && Object.entries(value).flat().some(hasControlCharacter)
  );
}

/** Checks the envelope, the header and the parts of the last received message exactly. */
async function expectArrival(request: Request, id: string): Promise<void> {
  const received = gmail.messages.at(-1);
  const raw = received?.raw ?? '';
  expect(raw).not.toContain(TAG);
  const { from = 'bot@simulator.test', to, cc = [], bcc = [], reply_to = [] } = request;
  expect(canonical(received?.from ?? '')).toBe(emailOf(from));
  const wanted = [...new Set([...to, ...cc, ...bcc].map(emailOf))];
  expect(gmail.transactions.at(-1)?.recipients.map(({ email }) => canonical(email))).toEqual(wanted);

  const { headers, parts } = parseRawMail(raw);
  expect(headers.find(({ name }) => name === 'message-id')?.value.trim()).toBe(id);
  expect(headers.map(({ name }) => name).toSorted()).toEqual(
    headerNamesOf(request, parts.length > 0).toSorted(),
  );
  for (const part of parts)
    expect(PART_HEADERS).toEqual(expect.arrayContaining(part.map(({ name }) => name)));

  const mail = await PostalMime.parse(raw);
  expectMailboxes(mail.from && [mail.from], [from]);
  expectMailboxes(mail.to, to);
  expectMailboxes(mail.cc, cc);
  expectMailboxes(mail.replyTo, reply_to);
  expect(read(mail.subject ?? '')).toBe(read(request.subject));
  expect(mail.attachments.map(({ filename }) => read(filename ?? ''))).toEqual(
    (request.attachments ?? []).map(({ filename }) => read(filename) || 'attachment'),
  );
  expect(toLf(mail.text ?? '')).toBe(toLf(request.text));
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    const arrived = headers.find((header) => header.name === name.toLowerCase());
    expect(read(arrived?.value ?? '')).toBe(read(value));
  }
  const open = new Set([from, ...to, ...cc, ...reply_to].map(emailOf));
  const hidden = bcc.map(emailOf).filter((email) => !open.has(email));
  const visible = headers.map(({ value }) => ` ${value} `).join('');
  for (const email of hidden)
    expect(visible).not.toMatch(new RegExp(`[\\s<,]${RegExp.escape(email)}[\\s>,]`));
}

/**
 * Compares names only where the request has one, because some parsers derive a name from a bare
 * address.
 */
function expectMailboxes(arrived: readonly ParsedAddress[] = [], asked: readonly Item[]): void {
  const wanted = asked.map(toNamed).map(({ email, name }) => ({ email, name: name || expect.any(String) }));
  expect(arrived.map(toNamed)).toEqual(wanted);
}

const PART_HEADERS = [
  'content-type',
  'content-transfer-encoding',
  'content-disposition',
  'content-id',
  'x-attachment-id',
];

function headerNamesOf(request: Request, multipart: boolean): string[] {
  const {
    subject,
    cc = [],
    reply_to = [],
    in_reply_to,
    references = [],
    unsubscribe,
    headers = {},
  } = request;
  // A value of blanks only produces no header.
  const texts = Object.entries({ ...headers, subject }).filter(([, value]) => tidy(value) !== '');
  return [
    ...['from', 'to', 'message-id', 'date', 'mime-version', 'content-type'],
    ...(multipart ? [] : ['content-transfer-encoding']),
    ...(cc.length > 0 ? ['cc'] : []),
    ...(reply_to.length > 0 ? ['reply-to'] : []),
    ...(in_reply_to ? ['in-reply-to'] : []),
    ...(references.length > 0 ? ['references'] : []),
    ...(unsubscribe ? ['list-unsubscribe'] : []),
    ...texts.map(([name]) => name.toLowerCase()),
  ];
}

/**
 * Parses a mailbox of the request or of the mail. The address is in the last angle brackets, or is
 * the whole text.
 */
function toNamed(item: Item | ParsedAddress): { email: string; name: string } {
  if (typeof item !== 'string')
    return { email: canonical('email' in item ? item.email : (item.address ?? '')), name: read(item.name) };
  const [, quoted, plain = '', email = item.trim()] =
    /^\s*(?:"((?:[^"\\]|\\.)*)"|([^"<>]*?))\s*<([^<>]*)>\s*$/s.exec(item) ?? [];
  return { email: canonical(email), name: read(quoted?.replace(/\\(.)/gs, '$1') ?? plain) };
}

const emailOf = (item: Item) => toNamed(item).email;

function canonical(email: string): string {
  const at = email.lastIndexOf('@');
  return `${email.slice(0, at).normalize('NFC')}@${domainToASCII(email.slice(at + 1))}`;
}

/**
 * Decodes everything that looks like an encoded word, repeatedly, as the most lenient reader would.
 */
function read(text: string): string {
  const decoded = decodeWords(text);
  return decoded === text ? tidy(text) : read(decoded);
}

function tidy(text: string): string {
  // Decoders treat U+FEFF at the start of an encoded word as a byte order mark.
  return text.replaceAll('\ufeff', '').replace(/\s+/g, ' ').trim();
}

function toLf(text: string): string {
  return text.replaceAll('\r\n', '\n').trimEnd();
}
