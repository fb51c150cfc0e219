import type { Delivery, SmtpReply } from './delivery/delivery.ts';
import type { Fault } from './delivery/outcome.ts';
import { AppError, type FieldError, joinWithin, MAX_LIST_LENGTH, summarize } from './errors.ts';
import type { Events } from './events.ts';
import { toMailboxKey } from './message/address.ts';
import type { Suppression, SuppressionReason, SuppressionStore } from './ports/suppression-store.ts';
import { isUnavailable } from './retry-until-available.ts';

/**
 * Enhanced codes for a mailbox that does not exist or is disabled, from "Gmail SMTP errors and
 * codes" (https://support.google.com/a/answer/3726730).
 */
const MAILBOX_GONE: readonly (string | null)[] = ['5.1.1', '5.2.1'];

/**
 * Addresses that mail is not sent to: refused permanently by Gmail, bounced because they do not
 * exist, or added manually.
 */
export interface Suppressions extends Pick<SuppressionStore, 'get' | 'list' | 'remove'> {
  /** Returns the suppressions that apply to an account, by address as given in `emails`. */
  find(account: string, emails: readonly string[]): Promise<ReadonlyMap<string, Suppression>>;
  /**
   * Adds an address manually, for all accounts. Replaces an existing suppression of the address.
   *
   * @throws {AppError} `queue_full` if the store is full
   */
  add(email: string, note: string | null): Promise<Suppression>;
  /**
   * Adds an address that has bounced since it does not exist, for one account, if SUPPRESS is `hard`.
   *
   * @param smtp the reply of the receiving server
   * @param messageId `msg_…`
   * @throws {AppError} `queue_unavailable`
   */
  addBounced(email: string, account: string, smtp: SmtpReply | null, messageId: string): Promise<void>;
  /** Resolves when every refusal observed so far is stored. */
  drain(): Promise<void>;
}

export interface SuppressionsDeps {
  readonly store: SuppressionStore;
  readonly events: Events;
  /**
   * Whether addresses that Gmail refuses or that bounce are stored and suppressed. Those added
   * manually always are.
   */
  readonly suppressRefused: boolean;
  /** Called when an address could not be stored. */
  readonly onError: (error: unknown) => void;
}

const NONE: ReadonlyMap<string, Suppression> = new Map();

export function createSuppressions({
  store,
  events,
  suppressRefused,
  onError,
}: SuppressionsDeps): Suppressions {
  const pendingWrites = new Set<Promise<void>>();

  /**
   * Replaces the stored suppression with what `next` returns; null leaves it. Repeats if it changed
   * meanwhile.
   */
  async function change(
    email: string,
    next: (stored: Suppression | null) => Suppression | null,
  ): Promise<void> {
    for (;;) {
      const stored = await store.get(email);
      const changed = next(stored);
      if (changed === null || (await store.replace(stored, changed))) return;
    }
  }

  /** Suppresses an address for one more account. */
  function addAccount(
    email: string,
    account: string,
    reason: SuppressionReason,
    smtp: SmtpReply | null,
    messageId: string,
  ): Promise<void> {
    return change(email, (stored) => {
      const added = {
        email,
        reason,
        accounts: [],
        smtp,
        messageId,
        note: null,
        createdAt: Date.now(),
      } as const;
      const { accounts, ...rest } = stored ?? added;
      return accounts === null || accounts.includes(account)
        ? null
        : { ...rest, accounts: [...accounts, account] };
    });
  }

  function appliesTo({ accounts }: Suppression, account: string): boolean {
    return accounts === null || (suppressRefused && accounts.includes(account));
  }

  if (suppressRefused) {
    events.on('message.attempted', (delivery, attempt, { refused }) => {
      // The simulator refuses the recipients that a test chooses; that says nothing about real
      // mailboxes.
      if (delivery.test) return;
      for (const { email, fault } of refused) {
        if (!isMailboxGone(fault)) continue;
        const write = addAccount(email, attempt.account, 'refused', fault.error.smtp, delivery.id).catch(
          onError,
        );
        pendingWrites.add(write);
        void write.then(() => pendingWrites.delete(write));
      }
    });
  }

  return {
    async find(account, emails) {
      const [first = ''] = emails;
      const stored =
        emails.length === 1
          ? [await store.get(first)]
          : await Promise.all(emails.map((email) => store.get(email)));
      if (stored.every((suppression) => suppression === null)) return NONE;
      const found = new Map<string, Suppression>();
      stored.forEach((suppression, i) => {
        if (suppression && appliesTo(suppression, account)) found.set(emails[i] ?? '', suppression);
      });
      return found;
    },
    async add(email, note) {
      const suppression = {
        email,
        reason: 'manual',
        accounts: null,
        smtp: null,
        messageId: null,
        note,
        createdAt: Date.now(),
      } as const;
      await change(email, () => suppression);
      return suppression;
    },
    async addBounced(email, account, smtp, messageId) {
      if (!suppressRefused) return;
      try {
        await addAccount(email, account, 'bounce', smtp, messageId);
      } catch (error) {
        if (isUnavailable(error)) throw error;
        onError(error);
      }
    },
    get: (email) => store.get(email),
    list: (query) => store.list(query),
    remove: (email) => store.remove(email),
    async drain() {
      await Promise.all(pendingWrites);
    },
  };
}

/** Whether a refusal is permanent and about the mailbox, not about the message. */
function isMailboxGone({ retryable, error: { smtp } }: Fault): boolean {
  return !retryable && smtp?.code === 550 && MAILBOX_GONE.includes(smtp.enhanced);
}

/**
 * Marks the suppressed recipients of a new delivery.
 *
 * @param found The suppressions that apply, by recipient address.
 * @throws {AppError} `recipient_suppressed` if no recipient is left.
 */
export function applySuppressions(delivery: Delivery, found: ReadonlyMap<string, Suppression>): Delivery {
  if (found.size === 0) return delivery;
  const recipients = delivery.recipients.map((recipient) => {
    const suppression = found.get(recipient.email);
    return suppression ? { ...recipient, status: 'suppressed' as const, smtp: suppression.smtp } : recipient;
  });
  if (recipients.some(({ status }) => status === 'pending')) {
    const detail = `Not sent to suppressed addresses: ${joinWithin([...found.keys()], MAX_LIST_LENGTH)}.`;
    return {
      ...delivery,
      recipients,
      warnings: [...delivery.warnings, { code: 'recipients_suppressed', detail }],
    };
  }
  const errors = errorsOf(delivery, found);
  throw new AppError('recipient_suppressed', { detail: summarize(errors), errors });
}

function errorsOf({ envelope }: Delivery, found: ReadonlyMap<string, Suppression>): FieldError[] {
  const byMailbox = new Map([...found].map(([email, suppression]) => [toMailboxKey(email), suppression]));
  return (['to', 'cc', 'bcc'] as const).flatMap((field) =>
    envelope[field].flatMap(({ email }, index) => {
      const suppression = byMailbox.get(toMailboxKey(email));
      return suppression
        ? [{ pointer: `/${field}/${index}`, code: 'recipient_suppressed', detail: explain(suppression) }]
        : [];
    }),
  );
}

/** Describes why and since when an address is suppressed, and how to remove the suppression. */
function explain({ email, reason, smtp, createdAt }: Suppression): string {
  const reply = smtp ? ` (${[smtp.code, smtp.enhanced].filter(Boolean).join(' ')})` : '';
  const since = new Date(createdAt).toISOString();
  const why = {
    manual: `${email} was added manually on ${since}`,
    refused: `Gmail permanently refused ${email} on ${since}${reply}`,
    bounce: `Mail to ${email} bounced on ${since}${reply}`,
  }[reason];
  return `${why}. To send to it again, DELETE /suppressions/${encodeURIComponent(email)}.`;
}
