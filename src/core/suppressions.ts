import type { Delivery, SmtpReply } from './delivery/delivery.ts';
import type { Fault } from './delivery/outcome.ts';
import { AppError, type FieldError, joinWithin, MAX_LIST_LENGTH, summarize } from './errors.ts';
import type { Events } from './events.ts';
import { toMailboxKey } from './message/address.ts';
import type { Suppression, SuppressionStore } from './ports/suppression-store.ts';

/** "Gmail SMTP errors and codes" (https://support.google.com/a/answer/3726730): there is no such mailbox, or it is disabled. */
const GONE: readonly (string | null)[] = ['5.1.1', '5.2.1'];

/** Addresses not to send to: what Gmail refused for good, and what somebody entered. */
export interface Suppressions extends Pick<SuppressionStore, 'get' | 'list' | 'remove'> {
  /** Which of these the account does not send to, by the address as it was given. */
  find(account: string, emails: readonly string[]): Promise<ReadonlyMap<string, Suppression>>;
  /**
   * Enters an address by hand, for all accounts, in place of what there is for it.
   *
   * @throws {AppError} `queue_full`: there is no room for another
   */
  enter(email: string, note: string | null): Promise<Suppression>;
  /** Resolves once all that was heard so far is kept. */
  drain(): Promise<void>;
}

export interface SuppressionsDeps {
  readonly store: SuppressionStore;
  readonly events: Events;
  /** Whether to remember whom Gmail refuses, and to mind it. What was entered by hand counts in any case. */
  readonly learn: boolean;
  /** A refusal could not be kept. */
  readonly onError: (error: unknown) => void;
}

export function createSuppressions({ store, events, learn, onError }: SuppressionsDeps): Suppressions {
  const remembering = new Set<Promise<void>>();

  /** Puts in the place of what is known what follows from it: made anew if that has changed meanwhile. Null: it stays. */
  async function change(
    email: string,
    next: (known: Suppression | null) => Suppression | null,
  ): Promise<void> {
    for (;;) {
      const known = await store.get(email);
      const changed = next(known);
      if (changed === null || (await store.replace(known, changed))) return;
    }
  }

  function remember(
    email: string,
    account: string,
    smtp: SmtpReply | null,
    messageId: string,
  ): Promise<void> {
    return change(email, (known) => {
      const refused = {
        email,
        reason: 'refused',
        accounts: [],
        smtp,
        messageId,
        note: null,
        createdAt: Date.now(),
      } as const;
      const { accounts, ...rest } = known ?? refused;
      return accounts === null || accounts.includes(account)
        ? null
        : { ...rest, accounts: [...accounts, account] };
    });
  }

  function holds({ accounts }: Suppression, account: string): boolean {
    return accounts === null || (learn && accounts.includes(account));
  }

  if (learn) {
    events.on('message.attempted', (delivery, attempt, { refused }) => {
      // The simulator refuses whom the test says, and speaks of nobody.
      if (delivery.test) return;
      for (const { email, fault } of refused) {
        if (!isForGood(fault)) continue;
        const remembered = remember(email, attempt.account, fault.error.smtp, delivery.id).catch(onError);
        remembering.add(remembered);
        void remembered.then(() => remembering.delete(remembered));
      }
    });
  }

  return {
    async find(account, emails) {
      const known = await Promise.all(emails.map((email) => store.get(email)));
      const found = new Map<string, Suppression>();
      known.forEach((suppression, i) => {
        if (suppression && holds(suppression, account)) found.set(emails[i] ?? '', suppression);
      });
      return found;
    },
    async enter(email, note) {
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
    get: (email) => store.get(email),
    list: (query) => store.list(query),
    remove: (email) => store.remove(email),
    async drain() {
      await Promise.all(remembering);
    },
  };
}

/** A refusal that speaks of the mailbox and not of the message, and that no waiting will change. */
function isForGood({ retryable, error: { smtp } }: Fault): boolean {
  return !retryable && smtp?.code === 550 && GONE.includes(smtp.enhanced);
}

/**
 * A delivery that is to be accepted, without those it is not sent to.
 *
 * @param found the suppressions that hold, by the address of the recipient
 * @throws {AppError} `recipient_suppressed`: nobody is left
 */
export function applySuppressions(delivery: Delivery, found: ReadonlyMap<string, Suppression>): Delivery {
  if (found.size === 0) return delivery;
  const recipients = delivery.recipients.map((recipient) => {
    const suppression = found.get(recipient.email);
    return suppression ? { ...recipient, status: 'suppressed' as const, smtp: suppression.smtp } : recipient;
  });
  if (recipients.some(({ status }) => status === 'pending')) {
    const detail = `Suppressed, so not sent to: ${joinWithin([...found.keys()], MAX_LIST_LENGTH)}.`;
    return {
      ...delivery,
      recipients,
      warnings: [...delivery.warnings, { code: 'recipients_suppressed', detail }],
    };
  }
  const errors = refusalsOf(delivery, found);
  throw new AppError('recipient_suppressed', { detail: summarize(errors), errors });
}

function refusalsOf({ envelope }: Delivery, found: ReadonlyMap<string, Suppression>): FieldError[] {
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

/** Why, since when, and the mend. */
function explain({ email, reason, smtp, createdAt }: Suppression): string {
  const reply = smtp ? ` (${[smtp.code, smtp.enhanced].filter(Boolean).join(' ')})` : '';
  const since = new Date(createdAt).toISOString();
  const why =
    reason === 'manual'
      ? `Somebody entered ${email} on ${since}`
      : `Gmail refused ${email} for good on ${since}${reply}`;
  return `${why}. Once it works again, DELETE /suppressions/${encodeURIComponent(email)}.`;
}
