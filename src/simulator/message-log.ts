/** Records what the simulator received, for tests and people to inspect. */

export interface AcceptedMessage {
  /** The id in the 250 reply. */
  readonly id: string;
  readonly acceptedAt: number;
  /** User name and mechanism of the login. Both are empty if the relay needed none. */
  readonly user: string;
  readonly authMethod: string;
  /** Whether the session was encrypted. */
  readonly secure: boolean;
  readonly from: string;
  /** The recipients accepted at RCPT. */
  readonly recipients: readonly string[];
  /** The message as received, without dot-stuffing, decoded as UTF-8. */
  readonly raw: string;
  readonly bytes: number;
  /**
   * The address that Gmail would silently write into From instead of the one in `raw`. Null if it
   * keeps From.
   */
  readonly rewrittenFrom: string | null;
  /**
   * False if the message was stored but no 250 was sent, so that its outcome is uncertain for the
   * client.
   */
  readonly answered: boolean;
}

/**
 * One accepted MAIL FROM, and the replies that followed. The lines of a reply are separated by
 * CRLF.
 */
export interface Transaction {
  readonly at: number;
  readonly from: string;
  readonly recipients: readonly { readonly email: string; readonly reply: string }[];
  /**
   * The final reply, to DATA or to the message. Null while the transaction runs, and if the
   * connection was lost.
   */
  readonly reply: string | null;
}

export interface Counters {
  /** TCP connections, including those without TLS or login. */
  readonly connections: number;
  readonly logins: number;
  readonly failedLogins: number;
  readonly transactions: number;
  /** Transactions refused at MAIL. `transactions` does not include them. */
  readonly throttled: number;
  /** Messages for which 250 was sent. */
  readonly accepted: number;
}

/** A running transaction. */
export interface OpenTransaction extends Transaction {
  readonly recipients: { email: string; reply: string }[];
  reply: string | null;
}

interface Waiter {
  readonly check: () => void;
  readonly reject: (reason: Error) => void;
}

/** Keeps the newest messages and transactions, at most `retain` of each, and counts all of them. */
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
  readonly #waiters = new Set<Waiter>();

  constructor(retain: number) {
    this.#retain = retain;
  }

  count(event: keyof Counters): void {
    this.counters[event] += 1;
    this.notifyWaiters();
  }

  beginTransaction(from: string): OpenTransaction {
    const transaction: OpenTransaction = { at: Date.now(), from, recipients: [], reply: null };
    this.#append(this.transactions, transaction);
    this.count('transactions');
    return transaction;
  }

  addMessage(message: AcceptedMessage): void {
    this.#append(this.messages, message);
    if (message.answered) this.count('accepted');
    else this.notifyWaiters();
  }

  clearMessages(): void {
    this.messages.length = 0;
    this.notifyWaiters();
  }

  /**
   * Rechecks the conditions of all waiters. Must be called after changing an entry, such as the
   * reply of a transaction.
   */
  notifyWaiters(): void {
    for (const waiter of this.#waiters) waiter.check();
  }

  /**
   * Resolves once the condition is true; it is checked now and after each change. Rejects with what
   * it throws, and when the simulator closes.
   */
  waitFor(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        try {
          if (!condition()) return;
          resolve();
        } catch (error) {
          reject(error);
        }
        this.#waiters.delete(waiter);
      };
      const waiter: Waiter = { check, reject };
      this.#waiters.add(waiter);
      check();
    });
  }

  close(): void {
    for (const waiter of this.#waiters)
      waiter.reject(new Error('The simulator was closed before the condition was met'));
    this.#waiters.clear();
  }

  #append<T>(list: T[], item: T): void {
    list.push(item);
    if (list.length > this.#retain) list.shift();
  }
}
