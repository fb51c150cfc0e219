import type { Attachment } from '../message/message.ts';

/** What Gmail blocks, found inside an attachment. */
export interface BlockedEntry {
  /** Of the attachment, from 0. */
  readonly index: number;
  readonly filename: string;
  /** The name inside the archive, after those of the archives it lies in: `tools.zip/bin/setup.exe`. Any text at all. */
  readonly entry: string;
  /** Without its dot, in lower case. */
  readonly extension: string;
}

/** Looks into archives. */
export interface AttachmentInspector {
  /**
   * The first file in each attachment that Gmail would not carry. Bounded in time and memory whatever it is given, and never rejects: what
   * is damaged, encrypted or too large to look into is left to Gmail's own judgement.
   */
  findBlocked(attachments: readonly Attachment[]): Promise<readonly BlockedEntry[]>;
}
