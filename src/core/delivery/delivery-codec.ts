import type { Attachment, Content } from '../message/message.ts';
import type { Delivery } from './delivery.ts';

/**
 * Encodes a delivery for storage that outlives the process: its record, which changes with every
 * transition. Its content, which never changes, is stored separately. Records of older versions
 * stay readable: fields are only ever added, with a default for records that lack them.
 */
export function encodeRecord(delivery: Delivery): string {
  return JSON.stringify({ ...delivery, content: null });
}

export function decodeRecord(record: string, content: Content | null): Delivery {
  return { ...defaultsFor(content), ...JSON.parse(record), content };
}

/** Returns the fields that records of version 0.1 lack. */
function defaultsFor(
  content: Content | null,
): Pick<Delivery, 'replyTo' | 'template' | 'attachments' | 'warnings'> {
  const attachments = content?.attachments ?? [];
  return {
    replyTo: content?.replyTo ?? [],
    template: null,
    attachments: attachments.map(({ filename, content: { length }, contentType }) => ({
      filename,
      size: length,
      contentType,
    })),
    warnings: [],
  };
}

/** An attachment without its bytes, and their number. */
type Part = Omit<Attachment, 'content'> & { readonly bytes: number };

const LENGTH_BYTES = 4;

/**
 * Encodes content as the length of its JSON, the JSON, and the bytes of each attachment. The bytes
 * need no encoding and are not copied when read.
 */
export function encodeContent({ attachments, ...rest }: Content): Uint8Array {
  const parts: Part[] = attachments.map(({ content, ...part }) => ({ ...part, bytes: content.length }));
  const json = Buffer.from(JSON.stringify({ ...rest, attachments: parts }));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json, ...attachments.map(({ content }) => content)]);
}

export function decodeContent(encoded: Uint8Array): Content {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  let at = LENGTH_BYTES + bytes.readUInt32BE();
  const { attachments, ...rest } = JSON.parse(bytes.toString('utf8', LENGTH_BYTES, at));
  const readAttachment = ({ bytes: length, ...part }: Part): Attachment => {
    const content = bytes.subarray(at, at + length);
    at += length;
    return { ...part, content };
  };
  // Content of version 0.1 has no calendar.
  return { calendar: null, ...rest, attachments: attachments.map(readAttachment) };
}
