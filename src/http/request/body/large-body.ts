import { kTransferable, kValue, Tinypool } from 'tinypool';
import { AppError } from '../../../core/errors.ts';
import { isLarge } from '../../../core/message/body-text.ts';
import { decodeBase64, isRecord } from '../../validation/json-values.ts';
import { parseJson } from './strict-json.ts';

export interface LargeBody {
  readonly blocks: readonly Uint8Array[];
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
 * Parses a body in a worker thread. Attachments in valid base64 and large texts become bytes, which
 * are transferred without a copy.
 */
// biome-ignore lint/style/noDefaultExport: Tinypool calls the default export
export default function parseLargeBody({ blocks, maxValues }: LargeBody) {
  try {
    const body = parseJson(Buffer.concat(blocks), maxValues);
    const result: LargeBodyResult = { kind: 'parsed', body };
    const messages = messagesIn(body);
    const buffers = [
      ...messages.flatMap(attachmentsOf).flatMap(decodeContent),
      ...messages.flatMap(encodeTexts),
    ];
    return Tinypool.move({ [kTransferable]: buffers, [kValue]: result });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { kind: 'refused', detail: error.message } satisfies LargeBodyResult;
  }
}

/** Returns a message, a list of messages, or the messages and defaults of a batch, as a list. */
function messagesIn(body: unknown): Record<string, unknown>[] {
  const messages = Array.isArray(body)
    ? body
    : isRecord(body) && Array.isArray(body.messages)
      ? [body.defaults, ...body.messages]
      : [body];
  return messages.filter(isRecord);
}

function attachmentsOf({ attachments }: Record<string, unknown>): Record<string, unknown>[] {
  return Array.isArray(attachments) ? attachments.filter(isRecord) : [];
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

/**
 * Encodes the large texts of a message as UTF-8 in place and returns the buffers to transfer. Text
 * with lone surrogates or NUL is left for the schema (`bodyText`) to report.
 */
function encodeTexts(message: Record<string, unknown>): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = [];
  for (const field of ['html', 'text']) {
    const text = message[field];
    if (typeof text !== 'string' || !isLarge(text)) continue;
    if (!text.isWellFormed() || text.includes('\0')) continue;
    const bytes = new TextEncoder().encode(text);
    message[field] = bytes;
    buffers.push(bytes.buffer);
  }
  return buffers;
}
