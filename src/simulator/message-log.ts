/** What the simulator saw and took, for tests and people to look at. */

export interface AcceptedMessage {
  /** The id in the 250 reply. */
  readonly id: string;
  readonly acceptedAt: number;
  /** Who was logged in. */
  readonly user: string;
  readonly authMethod: string;
  /** Whether the session was encrypted. */
  readonly secure: boolean;
  readonly from: string;
  /** Those that were accepted at RCPT. */
  readonly recipients: readonly string[];
  /** The message as received, without the dots that SMTP adds, read as UTF-8. */
  readonly raw: string;
  readonly bytes: number;
  /** The address Gmail would silently have put into From, in place of what is in `raw`. Null if From may stay. */
  readonly rewrittenFrom: string | null;
  /** False if the message was taken but no 250 went out, so that the client cannot know. */
  readonly answered: boolean;
}

/** One MAIL FROM that was accepted, and what followed. Replies are whole, their lines parted by CRLF. */
export interface Transaction {
  readonly at: number;
  readonly from: string;
  readonly recipients: readonly { readonly email: string; readonly reply: string }[];
  /** What ended it: the reply to DATA or to the message. Null while it runs, and for ever if the connection went away. */
  readonly reply: string | null;
}

export interface Counters {
  /** TCP connections, also those that never got as far as TLS or a login. */
  readonly connections: number;
  readonly logins: number;
  readonly failedLogins: number;
  readonly transactions: number;
  /** Transactions turned away at MAIL, which are not among the others. */
  readonly throttled: number;
  /** Messages answered with 250. */
  readonly accepted: number;
}

/** A transaction while it runs. */
export interface OpenTransaction extends Transaction {
  readonly recipients: { email: string; reply: string }[];
  reply: string | null;
}

interface Wait {
  readonly check: () => void;
  readonly reject: (reason: Error) => void;
}

/** Keeps the newest messages and transactions, up to `retain` of each; counts all. */
export class MessageLog {
  readonly messages: AcceptedMessage[] = [];
  readonly transactions: OpenTransaction[] = [];
  readonly counters = {
    connections: 0,
    logins: 0,
    failedLogins: 0,
    transactions: 0,
    throttled: 0,
    accepted: 0,
  };
  readonly #retain: number;
  readonly #waits = new Set<Wait>();

  constructor(retain: number) {
    this.#retain = retain;
  }

  count(event: keyof Counters): void {
    this.counters[event] += 1;
    this.changed();
  }

  begin(from: string): OpenTransaction {
    const transaction: OpenTransaction = { at: Date.now(), from, recipients: [], reply: null };
    this.#append(this.transactions, transaction);
    this.count('transactions');
    return transaction;
  }

  keep(message: AcceptedMessage): void {
    this.#append(this.messages, message);
    if (message.answered) this.count('accepted');
    else this.changed();
  }

  forgetMessages(): void {
    this.messages.length = 0;
    this.changed();
  }

  /** To be called after each change made from outside, as to a reply. */
  changed(): void {
    for (const wait of this.#waits) wait.check();
  }

  /** Resolves as soon as the condition holds, asked now and after each change. Rejects with what it throws, and when the simulator closes. */
  waitFor(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        try {
          if (!condition()) return;
          resolve();
        } catch (error) {
          reject(error);
        }
        this.#waits.delete(wait);
      };
      const wait: Wait = { check, reject };
      this.#waits.add(wait);
      check();
    });
  }

  close(): void {
    for (const wait of this.#waits) wait.reject(new Error('The simulator was closed before that happened'));
    this.#waits.clear();
  }

  #append<T>(list: T[], item: T): void {
    list.push(item);
    if (list.length > this.#retain) list.shift();
  }
}
