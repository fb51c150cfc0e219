/** The mailboxes of the accounts, which IMAP shows. Together they keep the newest `retain` mails. */
import type { FollowUpMail, FollowUpSettings } from '../gmail/follow-ups.ts';
import type { MailSource } from '../gmail/reports.ts';
import { Folder, type FolderRole, Mail } from './folder.ts';

/** A command of an IMAP client, without its secrets. */
export interface MailboxCommand {
  /** Empty before the login. */
  readonly user: string;
  /** Such as `UID SEARCH SINCE 1-Dec-2026`. */
  readonly text: string;
  /** Whether it changes, or would change, the mailbox: also FETCH without PEEK after SELECT. */
  readonly writes: boolean;
}

export interface MailboxSettings extends FollowUpSettings {
  /** Time from the acceptance of a message to its copy in Sent Mail, in ms. */
  readonly filingDelayMs: number;
  /** Time from filing a mail until X-GM-RAW and HEADER find it, in ms. */
  readonly indexLagMs: number;
  /** Name of the folder with the attribute \Sent, which Gmail localizes. */
  readonly sentName: string;
}

export interface FilingOptions {
  /** Time until the mail appears, in ms. */
  readonly delayMs?: number | undefined;
  /** INTERNALDATE, in epoch ms. The time of filing by default. */
  readonly receivedAt?: number | undefined;
}

interface Account {
  readonly folders: Readonly<Record<FolderRole, Folder>>;
  imapEnabled: boolean;
}

/** Folders whose mails are not put into All Mail as well. */
const NOT_IN_ALL_MAIL: ReadonlySet<FolderRole> = new Set(['all', 'spam', 'trash']);

export class Mailboxes {
  settings: MailboxSettings = {
    filingDelayMs: 0,
    indexLagMs: 0,
    sentName: '[Gmail]/Sent Mail',
    language: 'en',
    signingDomain: null,
  };
  readonly commands: MailboxCommand[] = [];
  readonly #retain: number;
  readonly #accounts = new Map<string, Account>();
  /** All mails with their accounts, oldest first. */
  #mails: { readonly account: Account; readonly mail: Mail }[] = [];
  /** Mails that are filed later, at most `retain`. */
  readonly #pending = new Set<NodeJS.Timeout>();
  /** Gmail's ids have 61 bits. */
  #nextId = 1_800_000_000_000_000_000n;
  readonly #listeners = new Set<() => void>();

  constructor(retain: number) {
    this.#retain = retain;
  }

  folder(user: string, role: FolderRole): Folder {
    return this.#account(user).folders[role];
  }

  isImapEnabled(user: string): boolean {
    return this.#account(user).imapEnabled;
  }

  enableImap(user: string, enabled: boolean): void {
    this.#account(user).imapEnabled = enabled;
  }

  /** Files a copy of a sent message, after the delay that is set. */
  fileSent(user: string, source: MailSource, acceptedAt: number): void {
    this.deliver(user, 'sent', () => source, {
      delayMs: this.settings.filingDelayMs,
      receivedAt: acceptedAt,
    });
  }

  /**
   * Puts a mail into a folder, and into All Mail, which has neither spam nor trash.
   *
   * @param build returns the message when it is filed
   */
  deliver(
    user: string,
    role: FolderRole,
    build: () => MailSource,
    { delayMs = 0, receivedAt }: FilingOptions = {},
  ): void {
    const account = this.#account(user);
    this.#after(delayMs, () => this.#file(account, role, build(), receivedAt ?? Date.now()));
  }

  /** Puts mails into INBOX, each after its delay: timers of two could fire in either order. */
  deliverInTurn(user: string, [mail, ...rest]: readonly FollowUpMail[]): void {
    if (!mail) return;
    this.#after(mail.delayMs, () => {
      this.deliver(user, 'inbox', () => mail.build(this.settings));
      this.deliverInTurn(user, rest);
    });
  }

  /** Removes every mail, also those that would be filed later. */
  clear(): void {
    this.cancelPending();
    this.#mails = [];
    for (const { folders } of this.#accounts.values())
      for (const folder of Object.values(folders)) folder.clear();
    this.notifyListeners();
  }

  cancelPending(): void {
    while (this.#pending.size > 0) this.#cancelOldest();
  }

  /** Gives every mail of the account another UID, as after the repair of a mailbox. */
  changeUidValidity(user: string): void {
    for (const folder of Object.values(this.#account(user).folders)) folder.changeUidValidity();
    this.notifyListeners();
  }

  record(command: MailboxCommand): void {
    this.commands.push(command);
    if (this.commands.length > this.#retain) this.commands.shift();
    this.notifyListeners();
  }

  /** Whether X-GM-RAW and HEADER find this mail already. */
  isIndexed(mail: Mail): boolean {
    return performance.now() - mail.filedAt >= this.settings.indexLagMs;
  }

  /** Calls `listener` after each change. Returns a function that ends this. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  notifyListeners(): void {
    for (const listener of this.#listeners) listener();
  }

  #after(delayMs: number, file: () => void): void {
    if (delayMs === 0) {
      file();
      return;
    }
    const timer = setTimeout(() => {
      this.#pending.delete(timer);
      file();
    }, delayMs);
    timer.unref();
    this.#pending.add(timer);
    if (this.#pending.size > this.#retain) this.#cancelOldest();
  }

  #cancelOldest(): void {
    for (const timer of this.#pending) {
      clearTimeout(timer);
      this.#pending.delete(timer);
      return;
    }
  }

  #file(account: Account, role: FolderRole, source: MailSource, receivedAt: number): void {
    const mail = new Mail(String(this.#nextId++), role, source, receivedAt);
    if (role === 'sent') mail.flags.add('\\Seen');
    account.folders[role].add(mail);
    if (!NOT_IN_ALL_MAIL.has(role)) account.folders.all.add(mail);
    this.#mails.push({ account, mail });
    if (this.#mails.length > this.#retain) this.#dropOldest();
    this.notifyListeners();
  }

  #dropOldest(): void {
    const oldest = this.#mails.shift();
    if (!oldest) return;
    for (const folder of Object.values(oldest.account.folders)) folder.remove(oldest.mail);
  }

  #account(user: string): Account {
    const key = user.toLowerCase();
    const known = this.#accounts.get(key);
    if (known) return known;
    const folders = {
      inbox: new Folder('inbox'),
      sent: new Folder('sent'),
      all: new Folder('all'),
      drafts: new Folder('drafts'),
      spam: new Folder('spam'),
      trash: new Folder('trash'),
    };
    const account: Account = { folders, imapEnabled: true };
    this.#accounts.set(key, account);
    return account;
  }
}
