export const FOLDER_ROLES = ['inbox', 'sent', 'all', 'drafts', 'spam', 'trash'] as const;
export type FolderRole = (typeof FOLDER_ROLES)[number];

export interface Mail {
  /** X-GM-MSGID. */
  readonly id: string;
  /** One character per octet. */
  readonly content: string;
  /** INTERNALDATE, in epoch ms. */
  readonly receivedAt: number;
  /** When the mail appeared, on the clock of `performance.now()`. */
  readonly filedAt: number;
  readonly flags: Set<string>;
}

/** A mail in a folder. */
export interface Entry {
  readonly uid: number;
  readonly mail: Mail;
}

export class Folder {
  uidValidity = 1;
  uidNext = 1;
  /** In the order of their UIDs. */
  entries: readonly Entry[] = [];

  add(mail: Mail): void {
    (this.entries as Entry[]).push({ uid: this.uidNext, mail });
    this.uidNext += 1;
  }

  remove(mail: Mail): void {
    const index = this.entries.findIndex((entry) => entry.mail === mail);
    if (index >= 0) (this.entries as Entry[]).splice(index, 1);
  }

  clear(): void {
    this.entries = [];
  }

  /** Numbers the mails again, beginning with a UID that was not used before. */
  changeUidValidity(): void {
    this.uidValidity += 1;
    this.entries = this.entries.map(({ mail }) => ({ uid: this.uidNext++, mail }));
  }
}
