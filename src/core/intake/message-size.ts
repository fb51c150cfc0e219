import type { Delivery } from '../delivery/delivery.ts';
import { toJob } from '../delivery/outcome.ts';
import { AppError } from '../errors.ts';
import { type Content, recipientsOf } from '../message/message.ts';
import type { Composed, Composer } from '../ports/composer.ts';

/**
 * Composes a message without sending it.
 *
 * @throws {AppError} `message_too_large` if the result has more than `maxBytes` bytes
 */
export async function composeWithin(
  maxBytes: number,
  delivery: Delivery,
  content: Content,
  composer: Composer,
): Promise<Composed> {
  const composed = await composer.compose(toJob(delivery, content, recipientsOf(delivery.envelope)));
  if (composed.size <= maxBytes) return composed;
  const detail = `The encoded message has ${composed.size} bytes; the maximum is ${maxBytes}.`;
  throw new AppError('message_too_large', { detail });
}

/** Bytes of line-broken base64 per byte of an attachment. */
const BASE64_FACTOR = 78 / 57;
/**
 * Worst case for a UTF-16 code unit: two UTF-8 bytes, three characters each in quoted-printable.
 */
const MAX_BYTES_PER_CHARACTER = 6;
/** More than all headers take, with a name for each recipient and attachment and a long thread. */
const HEADER_BYTES = 1024 * 1024;

/** Whether the encoded message could have more than `maxBytes` bytes, by a cheap upper estimate. */
export function mayExceed({ html, text, calendar, attachments }: Content, maxBytes: number): boolean {
  // Without a text part, one is made from the HTML.
  const characters = (html?.length ?? 0) * (text === null ? 2 : 1) + (text?.length ?? 0);
  // An invitation is sent twice: as an alternative and as a file.
  const invitation = 2 * (calendar?.content.length ?? 0);
  const attached = attachments.reduce((sum, { content }) => sum + content.length * BASE64_FACTOR, 0);
  return attached + (characters + invitation) * MAX_BYTES_PER_CHARACTER + HEADER_BYTES > maxBytes;
}
