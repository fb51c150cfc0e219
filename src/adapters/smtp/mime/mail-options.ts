import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { domainToASCII } from 'node:url';
import { compile } from 'html-to-text';
import type { SendMailOptions } from 'nodemailer';
import { detectMimeType } from 'nodemailer/lib/mime-funcs';
import type { Job } from '../../../core/delivery/outcome.ts';
import { type Address, toAddrSpec } from '../../../core/message/address.ts';
import type { Attachment, Unsubscribe } from '../../../core/message/message.ts';

/** Gmail itself clips a message at about 102 KB, and hostile HTML costs quadratic time: 100,000 characters take a quarter second at worst. */
const MAX_HTML_FOR_TEXT = 100_000;
const MAX_DERIVED_TEXT = 100_000;

/**
 * A job in nodemailer's terms. What it becomes on the wire depends on the job alone (Date, Message-ID and boundaries are fixed), so that every
 * attempt is byte-identical. Addresses are never strings, which nodemailer would parse again; headers are never objects, which it would
 * write out unencoded.
 */
export function toMailOptions({ id, messageId, date, envelope, content, recipients }: Job): SendMailOptions {
  return {
    envelope: {
      from: toAddress({ email: envelope.from.email }),
      to: recipients.map((email) => toAddress({ email })),
    },
    from: toAddress(envelope.from),
    // Bcc is in the envelope only.
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
 * Promise 6, checked where it counts: what nodemailer is about to say in MAIL FROM and RCPT TO is what the job says.
 *
 * @throws {Error} when it differs in any way
 */
export function assertEnvelope(
  mail: { getEnvelope(): { from: string | false; to: string[] } },
  job: Job,
): void {
  const { from, to } = mail.getEnvelope();
  const wanted = [job.envelope.from.email, ...job.recipients];
  const said = [from === false ? '' : from, ...to];
  if (said.length !== wanted.length || said.some((email, index) => toOwnForm(email) !== wanted[index])) {
    throw new Error(`The envelope of ${job.id} is not the one that was asked for`);
  }
}

/** Returns an address of nodemailer's in our form: without quotes, and with the domain in A-labels, where RFC 6531 has U-labels. */
export function toOwnForm(addrSpec: string): string {
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

/** Without runs of blanks that nodemailer would fold into a line of nothing else, which RFC 5322 (3.2.2) forbids and some take for the end. */
function toFoldable(value: string): string {
  return value.trim().replace(/[ \t]{60,}/g, ' ');
}

/** RFC 2369 and RFC 8058. Nodemailer's own `list` writes a List-Unsubscribe-Post that is a URL. */
function unsubscribeHeaders(unsubscribe: Unsubscribe | null) {
  if (!unsubscribe) return [];
  const { url, email, oneClick } = unsubscribe;
  const targets = [url && `<${new URL(url).href}>`, email && `<mailto:${toMailto(email)}>`].filter(Boolean);
  const headers = [{ key: 'List-Unsubscribe', value: targets.join(', ') }];
  // One click is a POST to the https URL: without one there is nothing to click.
  return oneClick && url
    ? [...headers, { key: 'List-Unsubscribe-Post', value: 'List-Unsubscribe=One-Click' }]
    : headers;
}

/** RFC 6068, section 2: of the address is encoded what would end it, or not be a URL. A query is encoded already. */
function toMailto(target: string): string {
  const [, email = '', query = ''] = /^([^@]*@[^?]*)(.*)$/.exec(target) ?? [];
  return toAddrSpec(email).replace(/[^\w.!$'*+\-=~@]/gu, encodeURIComponent) + query;
}

/** The media type of an attachment: the one it was given, or the one its name stands for. */
export function typeOf({ filename, contentType }: Pick<Attachment, 'filename' | 'contentType'>): string {
  return toLeafType(contentType ?? detectMimeType(nameOf(filename)));
}

function nameOf(filename: string): string {
  // Of blanks alone nothing is left.
  return toFoldable(filename.replace(/[/\\]/g, '_')) || 'attachment';
}

function toAttachment({ filename, content, contentType, contentId }: Attachment) {
  const name = nameOf(filename);
  return {
    filename: name,
    ...(content.byteLength > SLICE_BYTES
      ? {
          content: Readable.from(slicesOf(content), { objectMode: false }),
          contentTransferEncoding: 'base64' as const,
        }
      : { content: toBuffer(content) }),
    contentType: typeOf({ filename, contentType }),
    contentDisposition: contentId === null ? 'attachment' : 'inline',
    ...(contentId === null ? {} : { cid: contentId }),
  };
}

/** A whole number of base64 lines. Encoding, wrapping, looking for dots and encrypting take a fraction of a millisecond for so much. */
const SLICE_BYTES = 57 * 256;

/** In pieces, with a turn of the event loop between two, so that nobody waits for a large file to be encoded. */
async function* slicesOf(content: Uint8Array): AsyncGenerator<Buffer> {
  for (let start = 0; start < content.byteLength; start += SLICE_BYTES) {
    await nextTurn();
    yield toBuffer(content.subarray(start, start + SLICE_BYTES));
  }
}

/** A view of the same bytes. */
function toBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** message/* and multipart/* may not be encoded (RFC 2046, 5.1 and 5.2.1), so arbitrary bytes would not survive in them. */
function toLeafType(type: string): string {
  return /^(?:message|multipart)\//i.test(type.trim()) ? 'application/octet-stream' : type;
}

/** The canonical form of text in MIME (RFC 2046, 4.1.1): the same bytes counted beforehand and sent. */
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

/** What a reader without HTML gets: the words, the addresses of links, what images stand for. Cut at 100,000 characters. */
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
