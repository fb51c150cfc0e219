import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { candidateOf, parseInbound } from '../../src/adapters/imap/inbound/parse-inbound.ts';
import type { BounceClass, FollowUpKind } from '../../src/core/delivery/follow-up.ts';
import { decideInbound, type ReferredMessage } from '../../src/core/inbound/decide-inbound.ts';
import type { InboundMail } from '../../src/core/inbound/inbound-mail.ts';
import { DMARC_OF_GMAIL, OUR_ID } from '../helpers/inbound-mail.ts';

const FOLDER = new URL('../fixtures/bounces/', import.meta.url);

interface Expected {
  readonly kind: FollowUpKind;
  /** Message-ID of the message that the mail is about. Null: the mail does not name it. */
  readonly id: string | null;
  /** The recipients concerned, as the mail or the message returned in it names them. */
  readonly recipients: readonly string[];
  readonly class?: BounceClass;
  readonly code?: string;
  /** Whether the server of the recipient wrote the report. */
  readonly isOfRecipient?: boolean;
  /** Whether an address failed to which the recipient forwards. */
  readonly isForwarded?: boolean;
}

const GROUP = { kind: 'bounced', recipients: ['libsisimai@googlegroups.com'], class: 'soft' } as const;

/** Read from each message, not from the output of the parser. */
const EXPECTED: Record<string, Expected> = {
  'lhost-exim-01': {
    kind: 'bounced',
    id: 'E1P1ce6-000Egt-GZ@e1.example.org',
    recipients: ['kijitora@example.ed.jp'],
    class: 'blocked',
    code: '550 5.7.0',
  },
  'lhost-exim-05': {
    kind: 'bounced',
    id: '19990429233445.000000@mx4.example.org',
    recipients: ['kijitora@neko.example.co.jp'],
    class: 'hard',
    code: '553 5.1.1',
  },
  'lhost-gmail-01': {
    kind: 'bounced',
    id: 'D992C2C3-F175-4C4D-97E2-53A90E4E5BF5@gmail.com',
    recipients: ['userunknown@example.jp'],
    class: 'hard',
    code: '550 5.1.1',
  },
  'lhost-gmail-04': {
    kind: 'bounced',
    id: 'CAJYcEwW7ghrwjbwmwK3GKRG98qSVTKhGBvnkbVH1RdwFJwHWFQ@mail.gmail.com',
    recipients: ['kijitora@example.com'],
    class: 'blocked',
    code: '554 5.7.1',
  },
  'lhost-gmail-06': {
    kind: 'delayed',
    id: 'A4D6026C-0699-460F-9F86-C2A5CB4BE6CE@gmail.com',
    recipients: ['kijitora@example.jp'],
    code: '450 4.2.2',
  },
  'lhost-gmail-08': {
    kind: 'delayed',
    id: 'AA6C0062-22D4-4D7E-8766-4494D07205C1@gmail.example.com',
    recipients: ['kijitora@example.com'],
  },
  'lhost-gmail-10': {
    kind: 'bounced',
    id: '2F5AEFBF-6E99-4DDC-A664-6BC1D7CCF3D4@google.example.com',
    recipients: ['kijitora@6jo.example.co.jp'],
    class: 'soft',
  },
  'lhost-gmail-15': {
    kind: 'bounced',
    id: 'CAByYQsHq=c+uz-ubnN2pG3n256yS7P18KDbG6oStGF5bChUhyw@mail.google.example.com',
    recipients: ['mikeneko@libsisimai.org'],
    class: 'soft',
  },
  'lhost-gmail-17': {
    kind: 'delayed',
    id: 'CAByYQsHq=c+uz-ubnN2pG3n256yS7P18KDbG6oStGF5bChUhyw@mail.google.example.com',
    recipients: ['mikeneko@libsisimai.org'],
  },
  'lhost-gmail-19': {
    kind: 'bounced',
    id: '20170429233445.9C8036C2E7D8@mail.example.com',
    recipients: ['neko-nyaan@google.example.com'],
    class: 'soft',
  },
  'lhost-googlegroups-02': { ...GROUP, id: 'C49550E2-5112-44DD-9976-042A766A412C@example.jp' },
  'lhost-googlegroups-04': { ...GROUP, id: 'DF227C49-3696-43F9-B18D-745FF5721583@example.jp' },
  'lhost-googlegroups-06': { ...GROUP, id: 'E4382108-ED35-4844-8000-D64F1E6A6596@example.jp' },
  'lhost-googlegroups-08': { ...GROUP, id: '020B2024-D483-4DE0-BD99-699068C706FC@example.jp' },
  'lhost-googlegroups-10': { ...GROUP, id: '51E2AB79-95D6-4371-95E6-808D34B37539@example.jp' },
  'lhost-googlegroups-12': { ...GROUP, id: '2E3E5F3B-0F16-4542-9381-3EA8160B0D7C@example.jp' },
  'lhost-googlegroups-14': { ...GROUP, id: '1095EA7E-7BAF-431C-AAB1-DBAED5739F1B@libsisimai.com' },
  // A report without a status part.
  'lhost-office365-01': {
    kind: 'bounced',
    id: 'FFFFFFFF.EEEEEEEE@example.ed.jp',
    recipients: ['kijitora@example.com'],
    class: 'hard',
    code: '550 5.1.10',
    isOfRecipient: true,
  },
  // It reports 5.1.0 for a failed SPF check.
  'lhost-office365-03': {
    kind: 'bounced',
    id: '000000000000.2222.22222222222200000000@NEKO-NYAAN',
    recipients: ['kijitora@example.com'],
    class: 'soft',
    code: '550 5.1.0',
    isOfRecipient: true,
  },
  // The returned message is missing.
  'lhost-postfix-01': {
    kind: 'bounced',
    id: null,
    recipients: ['kijitora@example.org'],
    class: 'hard',
    isForwarded: true,
  },
  'lhost-postfix-11': {
    kind: 'bounced',
    id: '20150213024558.1BC7520C0F@vagrant-centos65.vagrantup.com',
    recipients: ['kijitora@example.jp', 'noraneko@example.jp'],
    class: 'policy',
    code: '553 5.1.8',
  },
  // Status 5.0.0, and `550 #5.1.0` as the reply.
  'rfc3464-51': {
    kind: 'bounced',
    id: '00222222-2222-2222-2222-FF00FFFF0000@example.jp',
    recipients: ['kijitora@example.de'],
    class: 'soft',
    code: '550 null',
  },
  // Failed with 4.0.0: the domain does not exist.
  'rfc3464-53': {
    kind: 'bounced',
    id: 'CAByYQsHoD+W5rSuhuhywef6ctb4__6whKo4VQCZk+LSM+HUZNA@mail.gmail.example.com',
    recipients: ['sironeko@example.jp'],
    class: 'soft',
  },
  'rfc3464-55': {
    kind: 'delayed',
    id: 'CAByYQsFyrGN=Aa73R9b-3-tiR7uFpUan+9CAWRmKP4z_GriF5Q@mail.gmail.example.com',
    recipients: ['sotoneko@nora.nyaan.jp'],
  },
  'rfc3464-57': {
    kind: 'bounced',
    id: 'CAByYQsGNYchW5-rGA6r51tLL-hiL6V-y_KsgPd4LNDvjPWuQww@mail.gmail.com',
    recipients: ['otsu-sakaba-hunter-neko-nyaaaaaaan@ezweb.ne.jp'],
    class: 'soft',
    code: '550 null',
  },
  'rfc3464-59': {
    kind: 'bounced',
    id: 'CAByYQsF+iu-pg8_aLPvKr9sJjMqxhsHwLMJjMoozvvwWHH26TA@mail.gmail.com',
    recipients: ['neko@libsisimai.org'],
    class: 'soft',
  },
  'rfc3464-61': {
    kind: 'bounced',
    id: '160000000000.2022.837987497898796986@NEKO-NYAAN-22',
    recipients: ['kijitora@example.com'],
    class: 'soft',
  },
  'rfc3464-63': {
    kind: 'bounced',
    id: '144493c0-8548-4b2b-987f-ae719df82545@Spark',
    recipients: ['libsisimai-2@googlegroups.com'],
    class: 'hard',
    code: '550 5.1.1',
  },
  'rfc3464-65': {
    kind: 'bounced',
    id: '002b01d2a4bb$028be941$b756c59a@example',
    recipients: ['kijitora@example.it'],
    class: 'soft',
  },
  'rfc3834-01': { kind: 'auto_replied', id: null, recipients: ['kijitora@example.net'] },
  'rfc3834-03': {
    kind: 'auto_replied',
    id: '25203A4E-F90F-4A14-BF51-3E7B9D39BE8E@libsisimai.org',
    recipients: ['kijitora@apple.example.com'],
  },
  'rfc3834-05': { kind: 'auto_replied', id: 'foobar@dummy.org', recipients: ['foo@bar.net'] },
};

/** The mail, with the ids of its message replaced by one of ours, and as Gmail receives it. */
function readSample(name: string, { id }: Expected, lineEnd: string): Buffer {
  let text = readFileSync(new URL(`${name}.eml`, FOLDER), 'latin1');
  if (id !== null) {
    // Quoted-printable may break a line inside the id.
    const written = [...`<${id}>`].map((character) => RegExp.escape(character)).join('(?:=\n)?');
    const ids = new RegExp(written, 'g');
    expect(text).toMatch(ids);
    text = text.replace(ids, OUR_ID);
  }
  if (!text.startsWith('From ') && /^From: .*@googlemail\.com/m.test(text)) text = DMARC_OF_GMAIL + text;
  return Buffer.from(text.replaceAll('\n', lineEnd), 'latin1');
}

const SENDER = 'bot@acme.com';
const AT = Date.parse('2026-01-02T03:04:05Z');

/** Each sample changes one thing at most. */
function decide(mail: InboundMail, message: ReferredMessage) {
  const decided = decideInbound(mail, message, AT);
  if (decided.kind === 'ignored') return decided;
  expect(decided.decisions).toHaveLength(1);
  return decided.decisions[0];
}

test('has an expectation for each sample', () => {
  const samples = readdirSync(FOLDER).filter((name) => name.endsWith('.eml'));
  expect(samples.map((name) => name.slice(0, -4)).sort()).toEqual(Object.keys(EXPECTED).sort());
});

describe.each([
  ['LF', '\n'],
  ['CRLF', '\r\n'],
])('with %s line ends', (_name, lineEnd) => {
  test.each(Object.entries(EXPECTED))('reads %s', async (name, expected) => {
    const raw = readSample(name, expected, lineEnd);
    const headers = raw.subarray(0, raw.indexOf(lineEnd + lineEnd));
    const isReport = expected.kind === 'bounced' || expected.kind === 'delayed';
    const asReply = expected.id === null ? null : 'reply';
    expect(await candidateOf(headers)).toBe(isReport ? 'report' : asReply);

    const mail = await parseInbound(raw, false);
    expect(mail.kind).toBe(isReport ? 'report' : 'auto_reply');
    expect(mail.candidates).toEqual(expected.id === null ? [] : [OUR_ID]);

    const message = { messageId: OUR_ID, recipients: expected.recipients, senders: [SENDER] };
    const decision = decide(mail, message);
    const isGmail = mail.from === 'mailer-daemon@googlemail.com';
    if (expected.id === null) expect(decision).toEqual({ kind: 'ignored', reason: 'no_reference' });
    else if (expected.kind === 'auto_replied')
      expect(decision).toMatchObject({ kind: 'auto_replied', at: AT, from: expected.recipients[0] });
    else if (!isGmail && expected.isOfRecipient !== true)
      expect(decision).toEqual({ kind: 'ignored', reason: 'untrusted' });
    else
      expect(decision).toMatchObject({
        kind: expected.kind,
        unverified: !isGmail,
        recipients: expected.recipients.map((email) => ({
          email,
          ...(expected.class === undefined ? {} : { class: expected.class }),
        })),
      });
  });

  test.each(Object.entries(EXPECTED).filter(([, { kind }]) => kind !== 'auto_replied'))(
    'reads the recipients and the reply of %s',
    async (name, expected) => {
      const mail = await parseInbound(readSample(name, expected, lineEnd), false);
      const verified = { ...mail, from: 'mailer-daemon@googlemail.com', authentication: TRUSTED };
      const message = { messageId: OUR_ID, recipients: expected.recipients, senders: [SENDER] };
      const decision = decide({ ...verified, candidates: [OUR_ID] }, message);
      const { code, class: bounceClass, isForwarded = false } = expected;
      expect(decision).toMatchObject({
        kind: expected.kind,
        recipients: expected.recipients.map((email) => ({
          email,
          ...(code === undefined
            ? {}
            : { smtp: { code: Number(code.split(' ')[0]), enhanced: enhancedOf(code) } }),
          ...(bounceClass === undefined
            ? {}
            : { class: bounceClass, suppress: bounceClass === 'hard' && !isForwarded }),
        })),
      });
    },
  );
});

function enhancedOf(code: string): string | null {
  const [, enhanced = ''] = code.split(' ');
  return enhanced === 'null' ? null : enhanced;
}

const TRUSTED = {
  authservId: 'mx.google.com',
  results: [{ method: 'dmarc', result: 'pass', properties: new Map([['header.from', 'googlemail.com']]) }],
} as const;
