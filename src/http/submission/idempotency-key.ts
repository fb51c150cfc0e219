import { createHash, webcrypto } from 'node:crypto';
import type { Draft } from '../../core/message/message.ts';
import { toJsonPieces } from '../json-pieces.ts';
import { invalidFields } from '../validation/validation.ts';

const { subtle } = webcrypto;

/** A structured-field string (RFC 9651, section 3.3.3), the form in the draft of the header. */
const QUOTED = /^"((?:[^"\\]|\\["\\])*)"$/;
const VISIBLE_ASCII = /^[!-~]{1,256}$/;

/**
 * Returns the key in an `Idempotency-Key` header. `"abc"` is the same key as `abc`.
 *
 * @throws {AppError} `validation_failed`
 */
export function parseIdempotencyKey(header: string): string {
  const key = header.startsWith('"') ? QUOTED.exec(header)?.[1]?.replace(/\\(.)/g, '$1') : header;
  if (key !== undefined && VISIBLE_ASCII.test(key)) return key;
  throw invalidFields([
    {
      pointer: 'header:Idempotency-Key',
      code: 'invalid_format',
      detail: 'Must be one key of 1 to 256 visible ASCII characters without spaces, such as a UUID.',
    },
  ]);
}

/**
 * Returns the same text for drafts with the same content. Attachments are compared by their
 * digests. Fields that version 0.2 did not have are left out if they are null: a request may be
 * repeated after an upgrade.
 */
export async function toFingerprint(draft: Draft): Promise<string> {
  const { calendar, ...content } = draft.content;
  const attachments = await Promise.all(
    content.attachments.map(async (file) => ({ ...file, content: await digestOf(file.content) })),
  );
  return hashJson({ ...draft, content: { ...content, attachments, ...(calendar && { calendar }) } });
}

/** Returns the same text for lists of the same JSON values and fingerprints. */
export async function toBatchFingerprint(parts: readonly unknown[]): Promise<string> {
  return hashJson(await Promise.all(parts));
}

/** Hashes a JSON value independently of the order of its keys. */
async function hashJson(value: unknown): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of toJsonPieces(value, sortedEntries)) hash.update(piece);
  return hash.digest('base64');
}

/** The digests of attachments: the messages of a batch share those of its `defaults`. */
const digests = new WeakMap<Uint8Array, Promise<string>>();

function digestOf(content: Uint8Array): Promise<string> {
  const known = digests.get(content);
  if (known) return known;
  const digest = hashBytes(content);
  digests.set(content, digest);
  return digest;
}

/** Hashes outside the event loop, because an attachment can have many megabytes. */
async function hashBytes(content: Uint8Array): Promise<string> {
  return Buffer.from(await subtle.digest('SHA-256', content as Uint8Array<ArrayBuffer>)).toString('base64');
}

/** Sorted, but that an object lists keys that are whole numbers first. */
function sortedEntries(object: object): [string, unknown][] {
  const sorted = Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.entries(Object.fromEntries(sorted));
}
