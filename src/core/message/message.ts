import { type Address, toMailboxKey } from './address.ts';

export interface Attachment {
  readonly filename: string;
  readonly content: Uint8Array;
  readonly contentType: string | null;
  /** Set for an inline image that the HTML names as `cid:<contentId>`. */
  readonly contentId: string | null;
}

/** RFC 8058 and RFC 2369: becomes List-Unsubscribe and, with `oneClick`, List-Unsubscribe-Post. */
export interface Unsubscribe {
  readonly url: string | null;
  /** An address, perhaps with the query of a mailto URL after it (RFC 6068), percent-encoded: `leave@acme.com?subject=leave`. */
  readonly email: string | null;
  readonly oneClick: boolean;
}

/** Who and what, small enough to keep after the mail is gone. */
export interface Envelope {
  readonly from: Address;
  readonly to: readonly Address[];
  readonly cc: readonly Address[];
  readonly bcc: readonly Address[];
  readonly subject: string;
}

/** What the mail says; dropped when the delivery settles. At least one of `html` and `text` is set. */
export interface Content {
  readonly replyTo: readonly Address[];
  readonly html: string | null;
  readonly text: string | null;
  readonly attachments: readonly Attachment[];
  readonly headers: Readonly<Record<string, string>>;
  readonly inReplyTo: string | null;
  readonly references: readonly string[];
  readonly unsubscribe: Unsubscribe | null;
}

export const PRIORITIES = ['high', 'normal'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** One accepted request to send, validated and normalised. Times are epoch milliseconds. */
export interface Message {
  readonly envelope: Envelope;
  readonly content: Content;
  readonly tags: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly priority: Priority;
  readonly scheduledAt: number | null;
  readonly expiresAt: number | null;
}

/** A template, and what to fill it in with: plain JSON. */
export interface TemplateUse {
  readonly id: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

/** A message as it was asked for: with a template its words are still to be made. */
export interface Draft extends Message {
  readonly template: TemplateUse | null;
}

/** Every address the envelope names, each mailbox once as it is first written, in the order to, cc, bcc. */
export function recipientsOf(envelope: Envelope): string[] {
  const found = new Map<string, string>();
  for (const { email } of [...envelope.to, ...envelope.cc, ...envelope.bcc]) {
    const key = toMailboxKey(email);
    if (!found.has(key)) found.set(key, email);
  }
  return [...found.values()];
}

/** What stays of a message when its content is gone. */
interface Kept extends Pick<Message, 'envelope' | 'tags' | 'metadata'> {
  readonly replyTo: readonly unknown[];
  readonly attachments: readonly unknown[];
  readonly warnings: readonly { readonly detail: string }[];
}

/** Roughly what stays in memory of a message when its content is gone, in bytes. */
export function recordBytes({ envelope, replyTo, attachments, warnings, tags, metadata }: Kept): number {
  const fixed = 1024;
  const perItem = 256;
  const items =
    envelope.to.length + envelope.cc.length + envelope.bcc.length + replyTo.length + attachments.length;
  const details = warnings.reduce((sum, { detail }) => sum + detail.length, 0);
  return fixed + perItem * items + envelope.subject.length + details + lengthOf(tags) + lengthOf(metadata);
}

/** Roughly what the content of a message occupies while it waits, in bytes. */
export function contentBytes({ html, text, attachments, headers, references }: Content): number {
  const bodies = (html?.length ?? 0) + (text?.length ?? 0) + lengthOf(headers);
  const thread = references.reduce((sum, id) => sum + id.length, 0);
  return attachments.reduce((sum, { content }) => sum + content.length, bodies + thread);
}

function lengthOf(map: Readonly<Record<string, string>>): number {
  let length = 0;
  for (const key in map) length += key.length + (map[key]?.length ?? 0);
  return length;
}
