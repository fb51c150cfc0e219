import PostalMime, { type Email } from 'postal-mime';

/** Headers in document order, duplicates included. Names are in lower case, values unfolded. */
export type Headers = readonly { readonly key: string; readonly value: string }[];

/** The parts of a mail that can matter. */
export interface MailParts {
  readonly headers: Headers;
  /** Decoded text, or HTML if there is no text. */
  readonly text: string;
  /** Body of the status part (RFC 3464). Null: there is none. */
  readonly status: string | null;
  /** The returned message or its headers. Null: there is none. */
  readonly returned: string | null;
}

/** Bytes after this are not read. */
export const MAX_MAIL_BYTES = 256 * 1024;
/** Reports have four levels. A deeper mail is read as its headers alone. */
const MAX_DEPTH = 16;

const OPTIONS = {
  // The parts of a returned message are not parts of the report.
  forceRfc822Attachments: true,
  maxNestingDepth: MAX_DEPTH,
  maxHeadersSize: MAX_MAIL_BYTES,
} as const;

const STATUS_TYPES = ['message/delivery-status', 'message/global-delivery-status'];
const RETURNED_TYPES = [
  'message/rfc822',
  'text/rfc822-headers',
  'message/rfc822-headers',
  'message/global',
  'message/global-headers',
];

/** Reads a mail, or its first part. Never rejects: what cannot be parsed is left out. */
export async function readMail(raw: Uint8Array): Promise<MailParts> {
  const bytes = withoutMboxLine(raw.subarray(0, MAX_MAIL_BYTES));
  const mail = await parse(bytes).catch(() => parse(headersOf(bytes)).catch(() => null));
  if (mail === null) return { headers: [], text: '', status: null, returned: null };
  return {
    headers: mail.headers,
    text: mail.text ?? mail.html ?? '',
    status: statusIn(mail),
    returned: contentsOf(mail, RETURNED_TYPES)[0] ?? null,
  };
}

function parse(bytes: Uint8Array): Promise<Email> {
  return PostalMime.parse(bytes, OPTIONS);
}

/** Mailboxes that were imported may start with `From MAILER-DAEMON …`. */
function withoutMboxLine(bytes: Uint8Array): Uint8Array {
  const isMbox = Buffer.from(bytes.subarray(0, 5)).toString('latin1') === 'From ';
  return isMbox ? bytes.subarray(bytes.indexOf(0x0a) + 1) : bytes;
}

/** Returns the bytes before the first blank line. */
function headersOf(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ends = [text.indexOf('\n\n'), text.indexOf('\n\r\n')].filter((end) => end !== -1);
  return ends.length === 0 ? bytes : bytes.subarray(0, Math.min(...ends) + 1);
}

/** Returns the text of each part of one of the types. */
function contentsOf(mail: Email, types: readonly string[]): string[] {
  return mail.attachments
    .filter(({ mimeType }) => types.includes(mimeType))
    .map(({ content }) => {
      const bytes = typeof content === 'string' ? Buffer.from(content) : new Uint8Array(content);
      return new TextDecoder().decode(bytes);
    });
}

/** Some servers label their words as a status part too. */
function statusIn(mail: Email): string | null {
  const texts = contentsOf(mail, STATUS_TYPES);
  return texts.find((text) => /^(?:final|original)-recipient[ \t]*:/im.test(text)) ?? texts[0] ?? null;
}
