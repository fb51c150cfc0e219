import { isDeepStrictEqual } from 'node:util';
import { type BodyText, isLarge, toBytes } from '../message/body-text.ts';
import type { Attachment, Calendar, Content } from '../message/message.ts';
import type { Delivery } from './delivery.ts';

/**
 * Encodes a delivery for storage that outlives the process: its record, which changes with every
 * transition. Its content, which never changes, is stored separately. Records of older versions
 * stay readable: fields are only ever added, with a default for records that lack them.
 */
export function encodeRecord(delivery: Delivery): string {
  const { trace, lookup, followUps } = delivery;
  // Few messages have a trace, a lookup or follow-ups: the record of any other lacks these fields.
  return JSON.stringify({
    ...delivery,
    trace: trace ?? undefined,
    lookup: lookup ?? undefined,
    followUps: followUps.length > 0 ? followUps : undefined,
    content: null,
  });
}

/** Whether two deliveries have the same record, in whatever order its fields are. */
export function isSameRecord(a: Delivery, b: Delivery): boolean {
  return isDeepStrictEqual(JSON.parse(encodeRecord(a)), JSON.parse(encodeRecord(b)));
}

export function decodeRecord(record: string, content: Content | null): Delivery {
  return { ...defaultsFor(content), ...JSON.parse(record), content };
}

/** Returns the fields that records of older versions lack. */
function defaultsFor(
  content: Content | null,
): Pick<Delivery, 'trace' | 'replyTo' | 'template' | 'attachments' | 'warnings' | 'lookup' | 'followUps'> {
  const attachments = content?.attachments ?? [];
  return {
    trace: null,
    replyTo: content?.replyTo ?? [],
    template: null,
    attachments: attachments.map(({ filename, content: { length }, contentType }) => ({
      filename,
      size: length,
      contentType,
    })),
    warnings: [],
    lookup: null,
    followUps: [],
  };
}

/** Stands in the JSON for bytes that follow it. */
interface BytesApart {
  /** Their number. */
  readonly bytes: number;
}

type StoredText = string | BytesApart;
type StoredAttachment = Omit<Attachment, 'content'> & BytesApart;

interface StoredContent extends Omit<Content, 'attachments' | 'html' | 'text' | 'calendar'> {
  readonly attachments: readonly StoredAttachment[];
  readonly html: StoredText | null;
  readonly text: StoredText | null;
  /** Missing in content of version 0.1. */
  readonly calendar?: (Omit<Calendar, 'content'> & { readonly content: StoredText }) | null;
}

const LENGTH_BYTES = 4;

/**
 * Encodes content as the length of its JSON, the JSON, and the bytes of each attachment and of each
 * large text. The bytes need no encoding and are not copied when read.
 *
 * Version 0.1 reads a large text as an object, which it fails to compose: it never sends
 * the message without its text.
 */
export function encodeContent({ attachments, html, text, calendar, ...rest }: Content): Uint8Array {
  const apart: Uint8Array[] = [];
  function setApart(bytes: Uint8Array): BytesApart {
    apart.push(bytes);
    return { bytes: bytes.length };
  }
  const toStored = (value: BodyText): StoredText =>
    typeof value === 'string' && !isLarge(value) ? value : setApart(toBytes(value));
  // In the order of the bytes.
  const stored: StoredContent = {
    ...rest,
    attachments: attachments.map(({ content, ...file }) => ({ ...file, ...setApart(content) })),
    html: html && toStored(html),
    text: text && toStored(text),
    calendar: calendar && { ...calendar, content: toStored(calendar.content) },
  };
  const json = Buffer.from(JSON.stringify(stored));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json, ...apart]);
}

export function decodeContent(encoded: Uint8Array): Content {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  let at = LENGTH_BYTES + bytes.readUInt32BE();
  const stored: StoredContent = JSON.parse(bytes.toString('utf8', LENGTH_BYTES, at));
  function take({ bytes: length }: BytesApart): Uint8Array {
    at += length;
    return bytes.subarray(at - length, at);
  }
  const read = (text: StoredText): BodyText => (typeof text === 'string' ? text : take(text));
  const { attachments, html, text, calendar = null, ...rest } = stored;
  return {
    ...rest,
    attachments: attachments.map(({ bytes: length, ...file }) => ({
      ...file,
      content: take({ bytes: length }),
    })),
    html: html && read(html),
    text: text && read(text),
    calendar: calendar && { ...calendar, content: read(calendar.content) },
  };
}
