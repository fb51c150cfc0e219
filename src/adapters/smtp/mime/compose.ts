import { detectMimeType } from 'nodemailer/lib/mime-funcs';
import type { Job } from '../../../core/delivery/outcome.ts';
import { toAddrSpec } from '../../../core/message/address.ts';
import type { BodyText } from '../../../core/message/body-text.ts';
import type { Attachment, Calendar, Unsubscribe } from '../../../core/message/message.ts';
import { deriveText } from './derived-text.ts';
import { type HeaderField, mailboxes, parameterized, tokens, unstructured } from './header-field.ts';
import { leaf, type MimePart, multipart, sizeOf, write } from './mime-part.ts';
import { encodeBytes, encodeText } from './transfer-encoding.ts';

/** Octets that are sent in one piece. */
const CHUNK_BYTES = 64 * 1024;

/** A message, composed: the same bytes each time for the same job. */
export interface ComposedMessage {
  readonly fields: readonly HeaderField[];
  /** Whether the header is not ASCII, so that SMTPUTF8 must be asked for (RFC 6531). */
  readonly needsSmtpUtf8: boolean;
  /** Returns the number of octets in `slices`, without composing them. */
  size(): Promise<number>;
  /** The whole message, with CRLF line ends and one at its end, in slices. */
  slices(): Iterable<Buffer>;
}

/** Composes a message (RFC 5322, RFC 2045). Everything in it follows from the job. */
export async function compose(job: Job): Promise<ComposedMessage> {
  const body = await toBody(job);
  const fields = headerOf(job);
  return {
    fields: [...fields, ...body.fields],
    needsSmtpUtf8: fields.some((field) => !/^[\r\n -~]*$/.test(field)),
    size: async () => (await sizeOf(body, fields)) + (endsLine(body) ? 0 : CRLF.length),
    slices: () => joinSlices(write(body, fields), endsLine(body)),
  };
}

function headerOf({ messageId, date, envelope, content }: Job): HeaderField[] {
  const { from, to, cc, subject } = envelope;
  return [
    mailboxes('From', [from]),
    ...(to.length > 0 ? [mailboxes('To', to)] : []),
    ...(cc.length > 0 ? [mailboxes('Cc', cc)] : []),
    ...(content.replyTo.length > 0 ? [mailboxes('Reply-To', content.replyTo)] : []),
    ...textField('Subject', subject),
    tokens('Message-ID', [messageId]),
    ...(content.inReplyTo ? [tokens('In-Reply-To', [content.inReplyTo])] : []),
    ...(content.references.length > 0 ? [tokens('References', content.references)] : []),
    `Date: ${new Date(date).toUTCString().replace('GMT', '+0000')}`,
    ...Object.entries(content.headers).flatMap(([name, value]) => textField(name, value)),
    ...unsubscribeFields(content.unsubscribe),
    'MIME-Version: 1.0',
  ];
}

/** A field of free text. Blanks alone make no field. */
function textField(name: string, text: string): HeaderField[] {
  const foldable = toFoldable(text);
  return foldable === '' ? [] : [unstructured(name, foldable)];
}

/**
 *     mixed ─┬─ alternative ─┬─ text/plain
 *            │               ├─ related ─┬─ text/html
 *            │               │           └─ inline images
 *            │               └─ text/calendar
 *            ├─ attachments
 *            └─ invite.ics
 */
async function toBody({ id, content }: Job): Promise<MimePart> {
  const start = `=_${id}_`;
  const { html } = content;
  const isInline = ({ contentId }: Attachment) => html !== null && contentId !== null;
  const alternatives = [await textPart('plain', content.text ?? (await deriveText(html ?? '')), start)];
  if (html !== null) {
    const page = await textPart('html', html, start);
    const images = content.attachments.filter(isInline).map(filePart);
    alternatives.push(multipart('related', [page, ...images], `${start}3`, { type: 'text/html' }));
  }
  const invitation = content.calendar && (await invitationParts(content.calendar, start));
  if (invitation) alternatives.push(invitation.alternative);
  const files = content.attachments.filter((file) => !isInline(file)).map(filePart);
  return multipart(
    'mixed',
    [multipart('alternative', alternatives, `${start}2`), ...files, ...(invitation ? [invitation.file] : [])],
    `${start}1`,
  );
}

async function textPart(subtype: string, text: BodyText, boundary: string): Promise<MimePart> {
  return leaf(`text/${subtype}`, { charset: 'utf-8' }, await encodeText(text, boundary));
}

/**
 * An invitation as an alternative (RFC 6047), and as a file for mail clients that read only that.
 */
async function invitationParts({ method, content }: Calendar, boundary: string) {
  const body = await encodeText(content, boundary);
  const disposition = parameterized('Content-Disposition', 'attachment', { filename: INVITATION_FILE });
  return {
    alternative: leaf('text/calendar', { charset: 'utf-8', method }, body),
    file: leaf('application/ics', { charset: 'utf-8', name: INVITATION_FILE }, body, [disposition]),
  };
}

const INVITATION_FILE = 'invite.ics';

function filePart(file: Attachment): MimePart {
  const name = nameOf(file.filename);
  const disposition = file.contentId === null ? 'attachment' : 'inline';
  // A parameter may occur once (RFC 2045, section 5.1), and readers differ in which one they take.
  const type = mediaTypeOf(file).replace(/ ?; ?name(?:\*[^=]*)?=(?:"[^"]*" ?|[^;]*)/gi, '');
  return leaf(type, { name }, encodeBytes(file.content), [
    parameterized('Content-Disposition', disposition, { filename: name }),
    ...(file.contentId === null ? [] : [`Content-ID: <${file.contentId}>`]),
  ]);
}

/** RFC 2369 and RFC 8058. */
function unsubscribeFields(unsubscribe: Unsubscribe | null): HeaderField[] {
  if (!unsubscribe) return [];
  const { url, email, oneClick } = unsubscribe;
  const targets = [url && `<${new URL(url).href}>`, email && `<mailto:${toMailto(email)}>`].filter(
    (target) => target !== null,
  );
  const last = targets.length - 1;
  const field = tokens(
    'List-Unsubscribe',
    targets.map((target, i) => (i < last ? `${target},` : String(target))),
  );
  // One click is a POST to the https URL: it needs one.
  return oneClick && url ? [field, 'List-Unsubscribe-Post: List-Unsubscribe=One-Click'] : [field];
}

/**
 * RFC 6068, section 2: encodes what would end the address, or is not allowed in a URL. A query is
 * encoded already.
 */
function toMailto(target: string): string {
  const [, email = '', query = ''] = /^([^@]*@[^?]*)(.*)$/.exec(target) ?? [];
  return toAddrSpec(email).replace(/[^\w.!$'*+\-=~@]/gu, encodeURIComponent) + query;
}

/** The media type of an attachment: the given one, or the one that its name stands for. */
export function mediaTypeOf({ filename, contentType }: Pick<Attachment, 'filename' | 'contentType'>): string {
  const type = (contentType ?? detectMimeType(nameOf(filename))).trim();
  // message/* and multipart/* may not be encoded (RFC 2046, 5.1 and 5.2.1), so arbitrary bytes
  // would not survive in them.
  return /^(?:message|multipart)\//i.test(type) ? 'application/octet-stream' : type;
}

function nameOf(filename: string): string {
  return toFoldable(filename.replace(/[/\\]/g, '_')) || 'attachment';
}

/**
 * Without runs of blanks that would be folded into a line of nothing else, which RFC 5322, section
 * 3.2.2, forbids.
 */
function toFoldable(value: string): string {
  return value.trim().replace(/[ \t]{60,}/g, ' ');
}

function endsLine(body: MimePart): boolean {
  return body.kind === 'leaf' && body.body.endsLine;
}

/** Joins short pieces, so that a small message is one slice; ends with CRLF. */
function* joinSlices(pieces: Iterable<string | Buffer>, endsWithCrlf: boolean): Generator<Buffer> {
  let waiting: Buffer[] = [];
  let length = 0;
  for (const piece of pieces) {
    const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
    waiting.push(bytes);
    length += bytes.length;
    if (length < CHUNK_BYTES) continue;
    yield waiting.length === 1 ? bytes : Buffer.concat(waiting, length);
    waiting = [];
    length = 0;
  }
  if (!endsWithCrlf) waiting.push(CRLF);
  if (waiting.length > 0) yield Buffer.concat(waiting);
}

const CRLF = Buffer.from('\r\n');
