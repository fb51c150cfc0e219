import type { Attachment, Content } from '../message/message.ts';
import type { Delivery } from './delivery.ts';

/**
 * How a delivery is written down where it outlives the process: its record, which changes with every step, and apart from it its content, which never
 * does. What was written by an older version stays readable: fields are only ever added, with what they mean where they are missing.
 */
export function encodeRecord(delivery: Delivery): string {
  return JSON.stringify({ ...delivery, content: null });
}

export function decodeRecord(record: string, content: Content | null): Delivery {
  return { ...addedSince(content), ...JSON.parse(record), content };
}

/** The fields that records of version 0.1 do not have. */
function addedSince(
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

/** An attachment without its bytes, and how many they are. */
type Part = Omit<Attachment, 'content'> & { readonly bytes: number };

const LENGTH_BYTES = 4;

/** The length of its JSON, the JSON, and then the bytes of each attachment: they need no encoding, and are not copied when read. */
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
  const cut = ({ bytes: length, ...part }: Part): Attachment => {
    const content = bytes.subarray(at, at + length);
    at += length;
    return { ...part, content };
  };
  return { ...rest, attachments: attachments.map(cut) };
}
