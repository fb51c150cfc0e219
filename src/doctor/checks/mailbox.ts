import { type ImapMailbox, openMailbox } from '../../adapters/imap/mailbox.ts';
import { createLoginProvider } from '../../adapters/mail-server/login.ts';
import type { AccountConfig } from '../../config/account-config.ts';
import { type MailboxConfig, mailboxServerOf, readsMailboxes } from '../../config/mailbox-config.ts';
import { ERRORS } from '../../core/errors.ts';
import { createId } from '../../core/id.ts';
import { domainOf } from '../../core/message/address.ts';
import type { MailboxFault } from '../../core/ports/mailbox.ts';
import { type Check, type CheckResult, type CheckSubject, pass, runCheck, skip, toCheck } from '../check.ts';
import type { NetworkOptions } from '../net/sockets.ts';
import { fixOf } from '../troubleshooting.ts';

/** Steps of a look: connection, login, list, and the search. */
const STEPS = 4;

/** Opens the mailbox of an account, if it has one that the service reads. */
export function openMailboxOf(
  account: AccountConfig,
  config: MailboxConfig,
  { limitMs, ca }: NetworkOptions,
): (ImapMailbox & AsyncDisposable) | null {
  const { user, credentials } = account;
  const server = mailboxServerOf(account, config);
  if (!server || !credentials || !readsMailboxes(config)) return null;
  const login = createLoginProvider(user, credentials, limitMs);
  const deadlines = { connectMs: limitMs, greetingMs: limitMs, lookMs: STEPS * limitMs, idleMs: limitMs };
  const mailbox = openMailbox({ user, login, server, ca, deadlines });
  return { ...mailbox, [Symbol.asyncDispose]: mailbox.close };
}

/**
 * Checks the login by IMAP, and the search that follows an attempt with an unknown outcome. A
 * failure is a warning: mail is sent without it.
 */
export async function checkMailbox(
  account: AccountConfig,
  config: MailboxConfig,
  network: NetworkOptions,
): Promise<Check> {
  const subject = mailboxSubject(account.user);
  if (!readsMailboxes(config)) return toCheck(subject, skip('RECONCILE and INBOUND are off'));
  await using mailbox = openMailboxOf(account, config, network);
  if (!mailbox) return toCheck(subject, skip(`${ERRORS.no_mailbox.meaning} Sending does not need one.`));
  return await runCheck(subject, async () => {
    const messageId = `<${createId('msg')}@${domainOf(account.from.email)}>`;
    const result = await mailbox.findSent({ messageId, since: Date.now() }, new AbortController().signal);
    return result.kind === 'failed'
      ? toWarning(result.fault)
      : pass('logged in, and Sent Mail can be searched; nothing was changed');
  });
}

/** The check of an account that is not tried, and the reason. */
export function skipMailboxCheck({ user }: AccountConfig, reason: string): Check {
  return toCheck(mailboxSubject(user), skip(`not tried: ${reason}`));
}

function mailboxSubject(target: string): CheckSubject {
  return { id: 'imap', name: 'IMAP', target };
}

export function toWarning({ code, detail }: MailboxFault): CheckResult {
  return { status: 'warn', detail, code, advice: fixOf(code) ?? ERRORS[code].hint };
}
