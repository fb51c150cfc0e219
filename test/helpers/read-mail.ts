import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import PostalMime, { type Address as ParsedAddress } from 'postal-mime';

/** A display name, which can be empty, and an address. */
export type ReadMailbox = readonly [name: string, address: string];

/** A part of a message as Python's email package reads it. A multipart has no properties of a leaf. */
export interface ReadPart {
  readonly depth: number;
  readonly type: string;
  /** Parameters of the Content-Type, without `boundary`. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly name?: string | null;
  readonly disposition?: string | null;
  readonly content_id?: string | null;
  readonly sha256?: string | undefined;
  /** The same with LF line ends, and without those at the end. */
  readonly lines_sha256?: string;
}

/** A message as Python's email package reads it. */
export interface ReadMail {
  readonly subject: string | null;
  readonly from: readonly ReadMailbox[];
  readonly to: readonly ReadMailbox[];
  readonly cc: readonly ReadMailbox[];
  readonly replyTo: readonly ReadMailbox[];
  readonly date: number;
  readonly message_id: string | null;
  readonly in_reply_to: string | null;
  readonly references: readonly string[];
  /** Names of all header fields, in lower case. */
  readonly names: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: readonly ReadPart[];
  readonly defects: readonly string[];
}

export const hasPython = spawnSync('python3', ['--version']).status === 0 || process.env.CI === 'true';

/** Reads messages by Python's email package. */
export function readByPython(messages: readonly Buffer[]): ReadMail[] {
  const input = Buffer.concat(messages.flatMap((bytes) => [Buffer.from(`${bytes.length}\n`), bytes]));
  const { stdout, stderr } = spawnSync('python3', ['test/helpers/read-mail.py'], {
    input,
    maxBuffer: 2 ** 30,
  });
  if (stderr.length > 0) throw new Error(String(stderr));
  return String(stdout)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** Reads a message by postal-mime, in a form that can be compared. */
export async function readByPostalMime(bytes: Buffer) {
  const mail = await PostalMime.parse(bytes, { attachmentEncoding: 'arraybuffer' });
  return {
    subject: mail.subject ?? '',
    from: toMailboxes(mail.from && [mail.from]),
    to: toMailboxes(mail.to),
    cc: toMailboxes(mail.cc),
    replyTo: toMailboxes(mail.replyTo),
    date: Date.parse(mail.date ?? ''),
    messageId: mail.messageId,
    inReplyTo: mail.inReplyTo ?? null,
    references: mail.references ?? '',
    text: mail.text ?? '',
    html: mail.html ?? '',
    attachments: mail.attachments.map(
      ({ filename, mimeType, disposition, related, contentId, method, content }) => ({
        filename,
        mimeType,
        disposition,
        related: related ?? false,
        contentId: contentId ?? null,
        method: method ?? null,
        sha256: hash(Buffer.from(content as ArrayBuffer)),
        linesSha256: hash(toLines(Buffer.from(content as ArrayBuffer))),
      }),
    ),
  };
}

function toMailboxes(addresses: readonly ParsedAddress[] = []): ReadMailbox[] {
  return addresses.map(({ name, address = '' }) => [name, address]);
}

/** The bytes with LF line ends, and without those at the end. */
function toLines(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1').replace(/\r\n|\r/g, '\n');
  return Buffer.from(text.replace(/\n+$/, ''), 'latin1');
}

export function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
