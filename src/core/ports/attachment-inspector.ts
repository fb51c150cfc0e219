import type { Attachment } from '../message/message.ts';

/** A file of a type that Gmail blocks, found inside an attachment. */
export interface BlockedEntry {
  /** Index of the attachment, from 0. */
  readonly index: number;
  /** Name of the attachment. */
  readonly filename: string;
  /**
   * Name of the blocked file, with the names of the archives around it: `tools.zip/bin/setup.exe`.
   * It may contain any characters.
   */
  readonly entry: string;
  /** Its extension in lower case, without the dot. */
  readonly extension: string;
}

/** Inspects archives. */
export interface AttachmentInspector {
  /**
   * Finds the first blocked file in each attachment.
   *
   * Time and memory are bounded for any input, and it never rejects. An archive that is damaged,
   * encrypted or too large to inspect passes: Gmail decides about it.
   */
  findBlocked(attachments: readonly Attachment[]): Promise<readonly BlockedEntry[]>;
}
