import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { createArchiveInspector } from '../../src/adapters/archive/archive-inspector.ts';
import { createMemoryBackend } from '../../src/adapters/memory/index.ts';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { createComposer } from '../../src/adapters/smtp/mime/composer.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import { createEvents } from '../../src/core/events.ts';
import { createIntake } from '../../src/core/intake/intake.ts';
import { createSuppressions } from '../../src/core/suppressions.ts';
import { type AppUnderTest, CRM, MAIL, startApp } from '../helpers/app.ts';
import { tar, zip } from '../helpers/archives.ts';
import { NO_TEMPLATES } from '../helpers/core.ts';

const GMAIL_SIZE = 35_882_577;

/** The HTTP layer with the real intake and a memory backend. */
function startPreflight(maxMessageBytes = GMAIL_SIZE): Promise<AppUnderTest> {
  const { store, suppressions } = createMemoryBackend({
    maxMessages: 100,
    maxBytes: 1e9,
    retainMs: 60_000,
    onEarlyDrop: () => {},
  });
  const intake = createIntake({
    store,
    events: createEvents(),
    accounts: { route: (message) => ({ message, account: 'bot@acme.com' }) },
    apiKeys: createApiKeys([], createMemorySharedState()),
    suppressions: createSuppressions({
      store: suppressions,
      events: createEvents(),
      suppressRefused: true,
      onError() {},
    }),
    templates: NO_TEMPLATES,
    allowedRecipients: null,
    redirectAllTo: null,
    composer: createComposer(),
    inspector: createArchiveInspector(),
    maxMessageBytes,
    isDraining: () => false,
  });
  return startApp({ intake, store, maxMessageBytes });
}

function withFiles(files: Readonly<Record<string, Buffer>>) {
  return {
    ...MAIL,
    attachments: Object.entries(files).map(([filename, content]) => ({
      filename,
      content: content.toString('base64'),
    })),
  };
}

describe('attachments', () => {
  test('an archive with a file that Gmail blocks is refused; the error names both and the solution', async () => {
    await using app = await startPreflight();
    const tools = zip([['readme.txt'], ['bin/setup.exe']]);
    const response = await app.send(withFiles({ 'a.pdf': Buffer.from('%PDF'), 'tools.zip': tools }));
    expect(response.statusCode).toBe(422);
    expect(response.json()).toMatchObject({
      code: 'attachment_blocked',
      type: '/problems/attachment_blocked',
      retryable: false,
      detail: expect.stringMatching(/^\/attachments\/1: .*"tools\.zip" contains "bin\/setup\.exe"/),
      errors: [
        {
          pointer: '/attachments/1',
          code: 'attachment_blocked',
          detail:
            'Gmail blocks ".exe" files, also inside archives, and "tools.zip" contains "bin/setup.exe": remove it, or link to it instead.',
        },
      ],
    });
  });

  test('dry runs inspect archives too', async () => {
    await using app = await startPreflight();
    const response = await app.send({
      ...withFiles({ 'a.tgz': gzipSync(await tar([['x.js']])) }),
      dry_run: true,
    });
    expect(response.json()).toMatchObject({
      code: 'attachment_blocked',
      errors: [{ detail: expect.stringContaining('"a.tar/x.js"') }],
    });
  });

  test('the error lists every refused attachment', async () => {
    await using app = await startPreflight();
    const response = await app.send(
      withFiles({ 'a.zip': zip([['x.exe']]), 'b.zip': zip([['x.txt']]), 'c.zip': zip([['x.msi']]) }),
    );
    expect(response.json()).toMatchObject({
      detail: expect.stringContaining('(and 1 more, see errors)'),
      errors: [{ pointer: '/attachments/0' }, { pointer: '/attachments/2' }],
    });
  });

  const report = [['report.csv', Buffer.from('a,b')]] as const;
  test.each([
    ['valid', zip(report)],
    ['damaged', zip(report).subarray(0, 40)],
    ['encrypted', zip(report, { flags: 1 })],
  ])('a %s archive without blocked files is accepted', async (_, bytes) => {
    await using app = await startPreflight();
    expect((await app.send(withFiles({ 'report.zip': bytes }))).statusCode).toBe(202);
  });

  test.each([
    ['another extension', 'invoice.pdf.exe'],
    ['a compressed form', 'setup.exe.gz'],
    ['a dot at its end', 'setup.exe.'],
    ['spaces at its end', 'setup.exe  . '],
    ['a full-width dot', 'setup\uff0eexe'],
    ['text that runs the other way', 'invoice\u202efdp.exe'],
    ['invisible characters', 'setup.e\u200bxe\u2069'],
  ])('a blocked file name hidden by %s is refused', async (_, filename) => {
    await using app = await startPreflight();
    const response = await app.send(withFiles({ [filename]: Buffer.from('MZ') }));
    expect(response.json()).toMatchObject({
      code: 'attachment_blocked',
      errors: [{ pointer: '/attachments/0/filename' }],
    });
  });

  test('a name that only contains a blocked extension is accepted', async () => {
    await using app = await startPreflight();
    expect((await app.send(withFiles({ 'setup.exe.txt': Buffer.from('MZ') }))).statusCode).toBe(202);
  });

  test('names inside an archive appear in errors shortened and without control characters', async () => {
    await using app = await startPreflight();
    const response = await app.send(
      withFiles({ 'a.zip': zip([[`${'d/'.repeat(30_000)}\u001b[31m\u202e.exe`]]) }),
    );
    const [{ detail }] = response.json().errors;
    expect(detail).toMatch(/^[^\p{Cc}\p{Cf}]{1,400}$/u);
  });
});

describe('the size of a message', () => {
  const LONG = { ...MAIL, text: 'Grüße. '.repeat(10_000) };

  test('may equal the limit, but not exceed it', async () => {
    await using measure = await startPreflight();
    const { size } = (await measure.send({ ...LONG, dry_run: true })).json();
    expect(size).toBeGreaterThan(80_000);
    await using exact = await startPreflight(size);
    expect((await exact.send(LONG)).statusCode).toBe(202);
    await using small = await startPreflight(size - 1);
    for (const body of [LONG, { ...LONG, dry_run: true }]) {
      const response = await small.send(body);
      expect(response.statusCode).toBe(413);
      expect(response.json()).toMatchObject({
        code: 'message_too_large',
        detail: `The encoded message has ${size} bytes; the maximum is ${size - 1}.`,
      });
    }
  });

  test('includes the headers', async () => {
    await using app = await startPreflight();
    const attachments = [{ filename: 'a.bin', content: Buffer.alloc(26_085_000).toString('base64') }];
    const to = Array.from({ length: 100 }, (_, i) => ({
      email: `a${i}@example.com`,
      name: '漢'.repeat(250),
    }));
    const references = Array.from({ length: 100 }, (_, i) => `<${'r'.repeat(900)}${i}@example.com>`);
    const response = await app.send({ ...MAIL, attachments, to, references });
    expect(response.statusCode).toBe(413);
    expect(response.json().detail).toMatch(new RegExp(`has \\d{8} bytes; the maximum is ${GMAIL_SIZE}`));
  });

  test('is reported with the limit if the body is too large', async () => {
    await using app = await startPreflight(1000);
    const body = JSON.stringify({ ...MAIL, text: 'x'.repeat(1024 * 1024 + 1000) });
    const response = await app.send(body);
    expect(response.statusCode).toBe(413);
    expect(response.json().detail).toBe(
      `The body has ${body.length} bytes; the maximum is ${1024 * 1024 + 1000}.`,
    );
  });

  test('is omitted from the error if a chunked body is too large', async () => {
    await using app = await startPreflight(1000);
    const url = await app.listen();
    async function* parts() {
      for (let i = 0; i < 20; i++) yield Buffer.alloc(64 * 1024, 'x');
    }
    const headers = { ...CRM, 'content-type': 'application/json' };
    const response = await fetch(`${url}/send`, {
      method: 'POST',
      headers,
      body: parts(),
      duplex: 'half',
    } as RequestInit);
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({
      detail: `The body is larger than the maximum of ${1024 * 1024 + 1000} bytes.`,
    });
  });
});

describe('a From', () => {
  test.each([
    ['a list', { from: ['a@acme.com', 'b@acme.com'] }, '/from'],
    ['a list of one', { from: ['a@acme.com'] }, '/from'],
    ['two addresses in a text', { from: 'a@acme.com, b@acme.com' }, '/from'],
    ['two named addresses in a text', { from: 'A <a@acme.com>; B <b@acme.com>' }, '/from'],
    ['two addresses in an object', { from: { email: 'a@acme.com,b@acme.com' } }, '/from/email'],
    ['a header', { headers: { From: 'a@acme.com' } }, '/headers/From'],
    ['a header in another case', { headers: { fROM: 'a@acme.com' } }, '/headers/fROM'],
  ])('is refused as %s, because Gmail accepts one From', async (_, fields, pointer) => {
    await using app = await startPreflight();
    const response = await app.send({ ...MAIL, ...fields });
    expect(response.statusCode).toBe(422);
    expect(response.json().errors).toEqual([
      expect.objectContaining({ pointer, detail: expect.stringContaining('Gmail accepts only one From') }),
    ]);
  });

  test('may have commas in a quoted name', async () => {
    await using app = await startPreflight();
    expect((await app.send({ ...MAIL, from: '"Acme, a@b, and more" <a@acme.com>' })).statusCode).toBe(202);
    const response = await app.send({ ...MAIL, from: '"Acme, a@b" <a@acme>' });
    expect(response.json().errors[0].detail).toContain('no dot');
  });

  test('is refused with another reason if it is invalid otherwise', async () => {
    await using app = await startPreflight();
    expect((await app.send({ ...MAIL, from: 'acme.com' })).json().errors).toMatchObject([
      { detail: expect.stringContaining('no @') },
    ]);
    const huge = `${'@'.repeat(1_000_000)}`;
    expect((await app.send({ ...MAIL, from: huge })).json().errors).toMatchObject([
      { detail: expect.stringContaining('too long') },
    ]);
  });
});

describe('a header that Gmail refuses', () => {
  test.each(['Auto-Submitted', 'feedback-id', 'Importance', 'Precedence', 'Sensitivity'])(
    '%s with non-ASCII characters is refused',
    async (name) => {
      await using app = await startPreflight();
      for (const value of ['dringend!ü', '=?utf-8?q?bulk?=']) {
        const response = await app.send({ ...MAIL, headers: { [name]: value } });
        expect(response.json().errors).toEqual([
          {
            pointer: `/headers/${name}`,
            code: 'header_not_ascii',
            detail: expect.stringContaining('Gmail refuses'),
          },
        ]);
      }
      expect((await app.send({ ...MAIL, headers: { [name]: 'bulk' } })).statusCode).toBe(202);
    },
  );

  test.each(['Message-ID', 'Date', 'Sender', 'Subject', 'MIME-Version', 'Content-Type', 'DKIM-Signature'])(
    '%s is refused, because it would appear twice',
    async (name) => {
      await using app = await startPreflight();
      expect((await app.send({ ...MAIL, headers: { [name]: 'x' } })).json().errors).toMatchObject([
        { code: 'header_not_allowed' },
      ]);
    },
  );

  test('Reply-To of more than 32 KiB is refused', async () => {
    await using app = await startPreflight();
    const people = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ email: `a${i}@example.com`, name: '漢'.repeat(250) }));
    expect((await app.send({ ...MAIL, reply_to: people(100) })).json().errors).toEqual([
      { pointer: '/reply_to', code: 'too_long', detail: expect.stringContaining('32768 bytes') },
    ]);
    expect((await app.send({ ...MAIL, reply_to: people(20) })).statusCode).toBe(202);
  });

  test('more than 64 KiB of custom headers are refused', async () => {
    await using app = await startPreflight();
    const map = (value: string) =>
      Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`X-${i}`, value]));
    expect((await app.send({ ...MAIL, headers: map('漢'.repeat(500)) })).json().errors).toEqual([
      { pointer: '/headers', code: 'too_long', detail: expect.stringContaining('65536 bytes') },
    ]);
    expect((await app.send({ ...MAIL, headers: map('x'.repeat(900)) })).statusCode).toBe(202);
  });

  test('the largest request has only headers that Gmail accepts: each once, at most 32 KiB, 500 KB in total', async () => {
    await using app = await startPreflight();
    const people = Array.from({ length: 100 }, (_, i) => ({
      email: `${'a'.repeat(60)}${i}@${'d'.repeat(60)}.example.com`,
      name: '漢'.repeat(255),
    }));
    const response = await app.send({
      from: { email: 'a@acme.com', name: '漢'.repeat(255) },
      to: people.slice(0, 50),
      cc: people.slice(50),
      reply_to: people.slice(0, 19),
      subject: '漢'.repeat(998),
      text: 'x',
      headers: Object.fromEntries(
        Array.from({ length: 50 }, (_, i) => [`X-${'n'.repeat(70)}-${i}`, '漢'.repeat(410)]),
      ),
      references: Array.from({ length: 100 }, (_, i) => `<${'r'.repeat(980)}${i}@x.example>`),
      unsubscribe: { url: `https://a.example/${'u'.repeat(970)}`, one_click: true },
      dry_run: true,
    });
    const { headers } = response.json() as { headers: { name: string; value: string }[] };
    expect(new Set(headers.map(({ name }) => name.toLowerCase())).size).toBe(headers.length);
    const unlimited = ['To', 'Cc', 'References'];
    expect(
      headers.filter(({ name, value }) => value.length > 32 * 1024 && !unlimited.includes(name)),
    ).toEqual([]);
    expect(headers.reduce((sum, { name, value }) => sum + name.length + value.length, 0)).toBeLessThan(
      500_000,
    );
  });
});
