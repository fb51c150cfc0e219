import { kTransferable, kValue, Tinypool } from 'tinypool';
import { AppError } from '../../../core/errors.ts';
import { decodeBase64 } from './base64.ts';
import { isRecord, parseJson } from './strict-json.ts';

export interface LargeBody {
  readonly bytes: Uint8Array;
  readonly maxValues: number | undefined;
}

export type LargeBodyRead = { readonly body: unknown } | { readonly refusal: string };

/** Shorter ones are decoded by whoever validates them. */
const LARGE_ATTACHMENT_CHARS = 64 * 1024;

/** Reads one body, in a thread of its own. Attachments that are good base64 are bytes then, and are handed over without a copy. */
// biome-ignore lint/style/noDefaultExport: it is what Tinypool calls
export default function readLargeBody({ bytes, maxValues }: LargeBody) {
  try {
    const body = parseJson(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), maxValues);
    const read: LargeBodyRead = { body };
    const buffers = attachmentsIn(body).flatMap(decode);
    return Tinypool.move({ [kTransferable]: buffers, [kValue]: read });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { refusal: error.message } satisfies LargeBodyRead;
  }
}

/** Those of a message, of a list of messages, or of what has such a list in `messages`. */
function attachmentsIn(body: unknown): Record<string, unknown>[] {
  const messages = Array.isArray(body)
    ? body
    : isRecord(body) && Array.isArray(body.messages)
      ? body.messages
      : [body];
  return messages
    .filter(isRecord)
    .flatMap(({ attachments }) => (Array.isArray(attachments) ? attachments : []))
    .filter(isRecord);
}

/** Answers what there is to hand over. What is no base64 stays as it is: the schema says what is wrong with it. */
function decode(attachment: Record<string, unknown>): ArrayBuffer[] {
  const { content } = attachment;
  if (typeof content !== 'string' || content.length < LARGE_ATTACHMENT_CHARS) return [];
  const bytes = decodeBase64(content);
  if (bytes === null) return [];
  attachment.content = bytes;
  return [bytes.buffer];
}
