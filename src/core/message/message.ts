import { type Address, toMailboxKey } from './address.ts';
import type { BodyText } from './body-text.ts';

export interface Attachment {
  readonly filename: string;
  readonly content: Uint8Array;
  readonly contentType: string | null;
  /** Set for an inline image that the HTML names as `cid:<contentId>`. */
  readonly contentId: string | null;
}

/** What an invitation asks for (RFC 5546, section 1.4). */
export const CALENDAR_METHODS = ['REQUEST', 'CANCEL', 'REPLY'] as const;

/** An invitation: an iCalendar object (RFC 5545) and its METHOD. */
export interface Calendar {
  readonly method: (typeof CALENDAR_METHODS)[number];
  readonly content: BodyText;
}

/** RFC 8058 and RFC 2369: becomes List-Unsubscribe and, with `oneClick`, List-Unsubscribe-Post. */
export interface Unsubscribe {
  readonly url: string | null;
  /**
   * An address, optionally followed by the percent-encoded query of a mailto URL (RFC 6068):
   * `leave@acme.com?subject=leave`.
   */
  readonly email: string | null;
  readonly oneClick: boolean;
}

/** Sender, recipients and subject: small enough to keep after the content is dropped. */
export interface Envelope {
  readonly from: Address;
  readonly to: readonly Address[];
  readonly cc: readonly Address[];
  readonly bcc: readonly Address[];
  readonly subject: string;
}

/** The content of a message. At least one of `html` and `text` is set. */
export interface Content {
  readonly replyTo: readonly Address[];
  readonly html: BodyText | null;
  readonly text: BodyText | null;
  readonly attachments: readonly Attachment[];
  readonly calendar: Calendar | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly inReplyTo: string | null;
  readonly references: readonly string[];
  readonly unsubscribe: Unsubscribe | null;
}

export const PRIORITIES = ['high', 'normal'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** One accepted request to send, validated and normalised. Times are in epoch ms. */
export interface Message {
  readonly envelope: Envelope;
  readonly content: Content;
  readonly tags: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly priority: Priority;
  readonly scheduledAt: number | null;
  readonly expiresAt: number | null;
}

/** A template and the values of its variables: plain JSON. */
export interface TemplateUse {
  readonly id: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

/** A message as requested. With a template, its content has not been rendered yet. */
export interface Draft extends Message {
  readonly template: TemplateUse | null;
}

/**
 * Returns the recipients of an envelope in the order to, cc, bcc: each mailbox once, as first
 * written.
 */
export function recipientsOf(envelope: Envelope): string[] {
  const all = [...envelope.to, ...envelope.cc, ...envelope.bcc];
  const [first] = all;
  if (first !== undefined && all.length === 1) return [first.email];
  const found = new Map<string, string>();
  for (const { email } of all) {
    const key = toMailboxKey(email);
    if (!found.has(key)) found.set(key, email);
  }
  return [...found.values()];
}

/** The part of a message that is kept after its content is dropped. */
interface KeptPart extends Pick<Message, 'envelope' | 'tags' | 'metadata'> {
  readonly replyTo: readonly unknown[];
  readonly attachments: readonly unknown[];
  readonly warnings: readonly { readonly detail: string }[];
}

/** Estimates the memory of a message without its content, in bytes. */
export function recordBytes({ envelope, replyTo, attachments, warnings, tags, metadata }: KeptPart): number {
  const fixed = 1024;
  const perItem = 256;
  const items =
    envelope.to.length + envelope.cc.length + envelope.bcc.length + replyTo.length + attachments.length;
  const details = warnings.reduce((sum, { detail }) => sum + detail.length, 0);
  return fixed + perItem * items + envelope.subject.length + details + lengthOf(tags) + lengthOf(metadata);
}

/** Estimates the memory of the content of a message, in bytes. */
export function contentBytes({ html, text, calendar, attachments, headers, references }: Content): number {
  const invitation = calendar?.content.length ?? 0;
  const bodies = (html?.length ?? 0) + (text?.length ?? 0) + invitation + lengthOf(headers);
  const thread = references.reduce((sum, id) => sum + id.length, 0);
  return attachments.reduce((sum, { content }) => sum + content.length, bodies + thread);
}

function lengthOf(map: Readonly<Record<string, string>>): number {
  let length = 0;
  for (const key in map) length += key.length + (map[key]?.length ?? 0);
  return length;
}
