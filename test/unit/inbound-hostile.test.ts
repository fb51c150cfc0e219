import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createInboundParser } from '../../src/adapters/imap/inbound/inbound-parser.ts';
import { candidateOf, parseInbound } from '../../src/adapters/imap/inbound/parse-inbound.ts';
import { MAX_MAIL_BYTES } from '../../src/adapters/imap/inbound/read-mail.ts';
import { parseAuthenticationResults } from '../../src/core/inbound/authentication-results.ts';
import { decideInbound } from '../../src/core/inbound/decide-inbound.ts';
import type { InboundDecision } from '../../src/core/inbound/decision.ts';
import { parseDeliveryStatus } from '../../src/core/inbound/delivery-status.ts';
import { aReply, aReport, OUR_ID, parseText } from '../helpers/inbound-mail.ts';

const MESSAGE = { messageId: OUR_ID, recipients: ['ada@example.com'], senders: ['bot@acme.com'] };
const DELAYED = `Reporting-MTA: dns; googlemail.com
X-Original-Message-ID: ${OUR_ID}

Final-Recipient: rfc822; ada@example.com
Action: delayed
Status: 4.2.2
Diagnostic-Code: smtp; 452 4.2.2 The recipient's inbox is out of storage space.
`;
const SAMPLES = [
  aReport(),
  aReport().replaceAll('\n', '\r\n'),
  aReport({ status: DELAYED }),
  aReport({ status: '\n', headers: 'X-Failed-Recipients: ada@example.com\n' }),
  aReply(),
  readFileSync(new URL('../fixtures/bounces/lhost-gmail-04.eml', import.meta.url), 'latin1'),
  readFileSync(new URL('../fixtures/bounces/lhost-office365-03.eml', import.meta.url), 'latin1'),
];

async function read(bytes: Uint8Array) {
  await candidateOf(bytes);
  const decided = decideInbound(await parseInbound(bytes, true), MESSAGE, 0);
  return decided.kind === 'decided' ? decided.decisions : [];
}

function suppressedBy(decisions: readonly InboundDecision[]): string[] {
  return decisions
    .flatMap(({ recipients }) => recipients.filter(({ suppress }) => suppress))
    .map(({ email }) => email);
}

function isBounced(decisions: readonly InboundDecision[]): boolean {
  return decisions.some(({ kind }) => kind === 'bounced');
}

describe('never rejects', () => {
  test.each(SAMPLES.map((sample, i) => [i, sample] as const))(
    'a mail that ends at any byte (%i)',
    async (_i, sample) => {
      const whole = await read(Buffer.from(sample));
      const bytes = Buffer.from(sample);
      await fc.assert(
        fc.asyncProperty(fc.nat(bytes.length), async (end) => {
          const decisions = await read(bytes.subarray(0, end));
          // What is cut off may be missed, and never turns into something worse.
          if (!isBounced(decisions)) return;
          expect(isBounced(whole)).toBe(true);
          expect(suppressedBy(whole)).toEqual(expect.arrayContaining(suppressedBy(decisions)));
        }),
        { numRuns: 150 },
      );
    },
  );

  test('a mail with bytes that were changed, removed or repeated', async () => {
    const change = fc.record({
      at: fc.nat(4000),
      length: fc.nat(40),
      bytes: fc.oneof(
        fc.uint8Array({ maxLength: 8 }),
        fc
          .constantFrom('\n', '\n\n', '\r', '\0', ':', '--report\n', ' ', '(', '"', '<', ';')
          .map(Buffer.from),
      ),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...SAMPLES),
        fc.array(change, { minLength: 1, maxLength: 20 }),
        async (sample, changes) => {
          let bytes = Buffer.from(sample);
          for (const { at, length, bytes: inserted } of changes)
            bytes = Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + length)]);
          await read(bytes);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), (bytes) => read(bytes).then(() => {})),
    );
  });

  test('any text as a status part or as Authentication-Results', () => {
    const fragment = fc.constantFrom(
      'Final-Recipient: rfc822;',
      'Status:',
      'Action: failed',
      '\n',
      ' ',
      '5.1.1',
      'mx.google.com;',
      'dmarc=pass',
      '(',
      ')',
      '"',
      '\\',
      '=',
      'header.from=',
      '\\x{110000}',
      '\\x{41}',
    );
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fragment, fc.string()), { maxLength: 60 }).map((parts) => parts.join('')),
        (text) => {
          parseDeliveryStatus(text);
          parseAuthenticationResults(text);
        },
      ),
    );
  });
});

describe('reads what is left of', () => {
  test('a report with 10,000 nested parts: its headers', async () => {
    const nested = Array.from(
      { length: 10_000 },
      (_, i) => `Content-Type: multipart/mixed; boundary=b${i}\n\n--b${i}\n`,
    ).join('');
    const mail = await parseText(`X-Failed-Recipients: ada@example.com\nIn-Reply-To: ${OUR_ID}\n${nested}`);
    expect(mail).toMatchObject({ kind: 'report', candidates: [OUR_ID] });
  });

  test('a mail that is larger than the limit', async () => {
    const mail = await parseText(aReport({ returned: 'x'.repeat(MAX_MAIL_BYTES) }));
    expect(mail).toMatchObject({ kind: 'report', recipients: [{ status: '5.1.1' }] });
  });

  test('a report inside a report: the outer one', async () => {
    const inner = aReport({
      status: 'Final-Recipient: rfc822; eve@example.com\nAction: failed\nStatus: 5.7.1\n',
    })
      .replaceAll('report', 'inner')
      .replaceAll('multipart/inner; ', 'multipart/report; ');
    const mail = await parseText(aReport({ returned: `Message-ID: ${OUR_ID}\n${inner}` }));
    expect(mail.recipients.map(({ addresses }) => addresses)).toEqual([['ada@example.com']]);
  });

  test('a report with two status parts: the first', async () => {
    const second =
      '\n--report\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; eve@example.com\nAction: failed\n';
    const mail = await parseText(
      aReport().replace('\n--report\nContent-Type: message/rfc822', (part) => second + part),
    );
    expect(mail.recipients.map(({ addresses }) => addresses)).toEqual([['ada@example.com']]);
  });

  test('a report in an unknown charset, with NUL characters', async () => {
    const text = aReport({ text: 'Text\0\xff' }).replace('charset="UTF-8"', 'charset="x-unknown"');
    const mail = await parseInbound(
      Buffer.from(text.replace('Action:', 'X\0: \0\nAction:'), 'latin1'),
      false,
    );
    expect(mail.recipients).toMatchObject([{ addresses: ['ada@example.com'], status: '5.1.1' }]);
  });

  test('texts with control characters, which are removed', async () => {
    const mail = await parseText(
      aReport({
        status:
          'Reporting-MTA: dns; mx\x07.example.com\n\nFinal-Recipient: rfc822; ada@example.com\nAction: failed\nDiagnostic-Code: smtp; 550 5.1.1 no\x1b[31m \u0085us\u2028er\n',
      }),
    );
    expect(JSON.stringify(mail)).not.toMatch(/\\u00[0189]|[\u2028\u2029]/);
    expect(mail.recipients[0]?.smtp?.response).toBe('no [31m  us er');
  });
});

describe('the parser in a thread', () => {
  test('reads reports, and the headers of replies', async () => {
    const parser = createInboundParser();
    const reply = Buffer.from(aReply());
    expect(await parser.candidateOf(reply)).toBe('reply');
    expect(await parser.parse(Buffer.from(aReport()), false)).toEqual(await parseText(aReport()));
    await parser.close();
  });

  test('gives up a mail that takes too long, and reads the next', async () => {
    const parser = createInboundParser(1500);
    const html = `Content-Type: multipart/mixed; boundary=x\n\n--x\n\nhi\n--x\nContent-Type: text/html\n\n${'<a href="'.repeat(29_000)}`;
    const slow = parser.parse(Buffer.from(html), false);
    const next = parser.parse(Buffer.from(aReport()), false);
    await expect(slow).rejects.toThrow('The mail took too long to read');
    expect(await next).toMatchObject({ kind: 'report' });
    await parser.close();
  });
});
