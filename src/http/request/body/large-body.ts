import { kTransferable, kValue, Tinypool } from 'tinypool';
import { AppError } from '../../../core/errors.ts';
import { decodeBase64, isRecord } from '../../validation/json-values.ts';
import { parseJson } from './strict-json.ts';

export interface LargeBody {
  readonly bytes: Uint8Array;
  readonly maxValues: number | undefined;
}

/**
 * The result of the worker thread. `refused`: the body is not acceptable JSON, and `detail` says
 * why.
 */
export type LargeBodyResult =
  | { readonly kind: 'parsed'; readonly body: unknown }
  | { readonly kind: 'refused'; readonly detail: string };

/** Shorter attachments are decoded when the request is validated. */
const LARGE_ATTACHMENT_CHARS = 64 * 1024;

/**
 * Parses a body in a worker thread. Attachments in valid base64 become bytes, which are transferred
 * without a copy.
 */
// biome-ignore lint/style/noDefaultExport: Tinypool calls the default export
export default function parseLargeBody({ bytes, maxValues }: LargeBody) {
  try {
    const body = parseJson(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), maxValues);
    const result: LargeBodyResult = { kind: 'parsed', body };
    const buffers = attachmentsIn(body).flatMap(decodeContent);
    return Tinypool.move({ [kTransferable]: buffers, [kValue]: result });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { kind: 'refused', detail: error.message } satisfies LargeBodyResult;
  }
}

/**
 * Returns the attachments of a message, of a list of messages, or of a list in the field
 * `messages`.
 */
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

/**
 * Decodes the content in place and returns the buffer to transfer. Invalid base64 is left for the
 * schema to report.
 */
function decodeContent(attachment: Record<string, unknown>): ArrayBuffer[] {
  const { content } = attachment;
  if (typeof content !== 'string' || content.length < LARGE_ATTACHMENT_CHARS) return [];
  const bytes = decodeBase64(content);
  if (bytes === null) return [];
  attachment.content = bytes;
  return [bytes.buffer];
}
