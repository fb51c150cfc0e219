import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { domainToASCII } from 'node:url';
import { compile } from 'html-to-text';
import type { SendMailOptions } from 'nodemailer';
import { detectMimeType } from 'nodemailer/lib/mime-funcs';
import type { Job } from '../../../core/delivery/outcome.ts';
import { type Address, toAddrSpec } from '../../../core/message/address.ts';
import type { Attachment, Unsubscribe } from '../../../core/message/message.ts';

/**
 * In characters. Gmail clips messages at about 102 KB, and hostile HTML takes quadratic time: 250
 * ms at worst for this size.
 */
const MAX_HTML_FOR_TEXT = 100_000;
const MAX_DERIVED_TEXT = 100_000;

/**
 * Maps a job to nodemailer's options. The bytes sent depend only on the job (Date, Message-ID and
 * boundaries are fixed), so every attempt is byte-identical. Addresses are never strings, which
 * nodemailer would parse again. Headers are never objects, which it would write unencoded.
 */
export function toMailOptions({ id, messageId, date, envelope, content, recipients }: Job): SendMailOptions {
  return {
    envelope: {
      from: toAddress({ email: envelope.from.email }),
      to: recipients.map((email) => toAddress({ email })),
    },
    from: toAddress(envelope.from),
    // Bcc recipients appear only in the envelope.
    to: envelope.to.map(toAddress),
    cc: envelope.cc.map(toAddress),
    replyTo: content.replyTo.map(toAddress),
    subject: toFoldable(envelope.subject),
    messageId,
    date: new Date(date),
    inReplyTo: content.inReplyTo ?? undefined,
    references: [...content.references],
    headers: [...headersOf(content.headers), ...unsubscribeHeaders(content.unsubscribe)],
    text: toCrlf(content.text ?? textOf(content.html ?? '')),
    html: content.html === null ? undefined : toCrlf(content.html),
    attachments: content.attachments.map(toAttachment),
    baseBoundary: id,
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

/**
 * Asserts that nodemailer's MAIL FROM and RCPT TO equal those of the job.
 *
 * @throws {Error} if they differ in any way
 */
export function assertEnvelope(
  mail: { getEnvelope(): { from: string | false; to: string[] } },
  job: Job,
): void {
  const { from, to } = mail.getEnvelope();
  const expected = [job.envelope.from.email, ...job.recipients];
  const actual = [from === false ? '' : from, ...to];
  if (
    actual.length !== expected.length ||
    actual.some((email, index) => normalizeAddress(email) !== expected[index])
  ) {
    throw new Error(`The composed envelope of ${job.id} differs from the requested one`);
  }
}

/**
 * Normalizes an address that nodemailer returns: removes quotes and writes the domain in A-labels
 * instead of U-labels (RFC 6531).
 */
export function normalizeAddress(addrSpec: string): string {
  const email = addrSpec.replace(/^"(.*)"@/, '$1@');
  const at = email.lastIndexOf('@');
  const [localPart, domain] = [email.slice(0, at), email.slice(at + 1)];
  return /^\p{ASCII}*$/u.test(domain) ? email : `${localPart}@${domainToASCII(domain)}`;
}

function toAddress({ email, name = null }: { email: string; name?: Address['name'] }) {
  return { address: toAddrSpec(email), name: toFoldable(name ?? '') };
}

function headersOf(headers: Readonly<Record<string, string>>) {
  return Object.entries(headers).map(([key, value]) => ({ key, value: toFoldable(value) }));
}

/**
 * Collapses runs of blanks that nodemailer would fold into a line of blanks only. RFC 5322, 3.2.2
 * forbids such a line, and some servers treat it as the end of the headers.
 */
function toFoldable(value: string): string {
  return value.trim().replace(/[ \t]{60,}/g, ' ');
}

/**
 * RFC 2369 and RFC 8058. Nodemailer's own `list` option writes the value of List-Unsubscribe-Post
 * as a URL.
 */
function unsubscribeHeaders(unsubscribe: Unsubscribe | null) {
  if (!unsubscribe) return [];
  const { url, email, oneClick } = unsubscribe;
  const targets = [url && `<${new URL(url).href}>`, email && `<mailto:${toMailto(email)}>`].filter(Boolean);
  const headers = [{ key: 'List-Unsubscribe', value: targets.join(', ') }];
  // One-click unsubscribe is a POST to the https URL, so it needs one.
  return oneClick && url
    ? [...headers, { key: 'List-Unsubscribe-Post', value: 'List-Unsubscribe=One-Click' }]
    : headers;
}

/**
 * RFC 6068, section 2: percent-encodes the characters of the address that a URL cannot contain. The
 * query is already encoded.
 */
function toMailto(target: string): string {
  const [, email = '', query = ''] = /^([^@]*@[^?]*)(.*)$/.exec(target) ?? [];
  return toAddrSpec(email).replace(/[^\w.!$'*+\-=~@]/gu, encodeURIComponent) + query;
}

/** Media type of an attachment: the given one, or the one of its file name extension. */
export function mediaTypeOf({ filename, contentType }: Pick<Attachment, 'filename' | 'contentType'>): string {
  return toLeafType(contentType ?? detectMimeType(fileNameOf(filename)));
}

function fileNameOf(filename: string): string {
  // A name of blanks only becomes empty.
  return toFoldable(filename.replace(/[/\\]/g, '_')) || 'attachment';
}

function toAttachment({ filename, content, contentType, contentId }: Attachment) {
  const name = fileNameOf(filename);
  return {
    filename: name,
    ...(content.byteLength > SLICE_BYTES
      ? {
          content: Readable.from(slicesOf(content), { objectMode: false }),
          contentTransferEncoding: 'base64' as const,
        }
      : { content: toBuffer(content) }),
    contentType: mediaTypeOf({ filename, contentType }),
    contentDisposition: contentId === null ? 'attachment' : 'inline',
    ...(contentId === null ? {} : { cid: contentId }),
  };
}

/**
 * A whole number of base64 lines. Encoding, wrapping, dot-stuffing and encrypting a slice takes a
 * fraction of a millisecond.
 */
const SLICE_BYTES = 57 * 256;

/**
 * Yields the content in slices, one per turn of the event loop, so that a large file does not block
 * other work.
 */
async function* slicesOf(content: Uint8Array): AsyncGenerator<Buffer> {
  for (let start = 0; start < content.byteLength; start += SLICE_BYTES) {
    await nextTurn();
    yield toBuffer(content.subarray(start, start + SLICE_BYTES));
  }
}

/** Returns a view of the same bytes. */
function toBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/**
 * message/* and multipart/* must not be encoded (RFC 2046, 5.1 and 5.2.1), so they cannot carry
 * arbitrary bytes.
 */
function toLeafType(type: string): string {
  return /^(?:message|multipart)\//i.test(type.trim()) ? 'application/octet-stream' : type;
}

/**
 * Canonical form of text in MIME (RFC 2046, 4.1.1), so that the measured bytes are the sent ones.
 */
function toCrlf(text: string): string {
  return text.replace(/\r\n|\r|\n/g, '\r\n');
}

const convert = compile({
  wordwrap: 78,
  limits: { maxDepth: 64, ellipsis: '…' },
  selectors: [
    { selector: 'title', format: 'skip' },
    { selector: 'img', options: { pathRewrite: () => '' } },
    {
      selector: 'a',
      options: {
        hideLinkHrefIfSameAsText: true,
        pathRewrite: (href: string) => (/^\s*(?:javascript|data|cid):/i.test(href) ? '' : href),
      },
    },
    ...['h1', 'h2', 'h3', 'h4', 'h5', 'h6'].map((selector) => ({ selector, options: { uppercase: false } })),
    { selector: 'tr', format: 'block', options: { leadingLineBreaks: 1, trailingLineBreaks: 1 } },
    ...['td', 'th'].map((selector) => ({ selector, format: 'inlineSurround', options: { suffix: ' ' } })),
  ],
});

/**
 * Derives the plain-text alternative: the text, link addresses and alt texts of images. Cut at
 * 100,000 characters.
 */
export function textOf(html: string): string {
  const text = convert(html.slice(0, MAX_HTML_FOR_TEXT));
  const tidy = text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .replace(/\n{3,}/g, '\n\n');
  const cut = html.length > MAX_HTML_FOR_TEXT || tidy.length > MAX_DERIVED_TEXT;
  return cut ? `${tidy.slice(0, MAX_DERIVED_TEXT)}\n…`.toWellFormed() : tidy;
}
