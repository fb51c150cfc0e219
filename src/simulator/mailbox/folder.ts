import type { MailSource } from '../gmail/reports.ts';

export const FOLDER_ROLES = ['inbox', 'sent', 'all', 'drafts', 'spam', 'trash'] as const;
export type FolderRole = (typeof FOLDER_ROLES)[number];

export class Mail {
  /** X-GM-MSGID. */
  readonly id: string;
  /** The folder that it was put into, beside All Mail. */
  readonly role: FolderRole;
  /** INTERNALDATE, in epoch ms. */
  readonly receivedAt: number;
  /** When the mail appeared, on the clock of `performance.now()`. */
  readonly filedAt = performance.now();
  readonly flags = new Set<string>();
  #source: MailSource | null;
  #content = '';

  constructor(id: string, role: FolderRole, source: MailSource, receivedAt: number) {
    this.id = id;
    this.role = role;
    this.#source = source;
    this.receivedAt = receivedAt;
  }

  /** The message as a binary string: one character per octet. Most mails are never read. */
  get content(): string {
    const source = this.#source;
    if (source !== null) {
      const octets = typeof source === 'string' ? Buffer.from(source) : source;
      this.#content = octets.toString('latin1');
      this.#source = null;
    }
    return this.#content;
  }
}

/** A mail in a folder. */
export interface Entry {
  readonly uid: number;
  readonly mail: Mail;
}

export class Folder {
  readonly role: FolderRole;
  uidValidity = 1;
  uidNext = 1;
  /** Number of changes of `entries` so far. */
  changes = 0;
  /** In the order of their UIDs. */
  entries: readonly Entry[] = [];

  constructor(role: FolderRole) {
    this.role = role;
  }

  add(mail: Mail): void {
    (this.entries as Entry[]).push({ uid: this.uidNext, mail });
    this.uidNext += 1;
    this.changes += 1;
  }

  remove(mail: Mail): void {
    const index = this.entries.findIndex((entry) => entry.mail === mail);
    if (index < 0) return;
    (this.entries as Entry[]).splice(index, 1);
    this.changes += 1;
  }

  clear(): void {
    this.entries = [];
    this.changes += 1;
  }

  /** Numbers the mails again, beginning with a UID that was not used before. */
  changeUidValidity(): void {
    this.uidValidity += 1;
    this.entries = this.entries.map(({ mail }) => ({ uid: this.uidNext++, mail }));
    this.changes += 1;
  }
}
