import { setTimeout as delay } from 'node:timers/promises';
import type { ImapMailbox } from '../../adapters/imap/mailbox.ts';
import type { AccountConfig } from '../../config/account-config.ts';
import { toOneLine } from '../../core/delivery/one-line.ts';
import { domainOf, isPersonalGmail, toMailboxKey } from '../../core/message/address.ts';
import type { MailboxFault, SentQuery } from '../../core/ports/mailbox.ts';
import { type Check, type CheckResult, pass, skip, toCheck, unknown, warn } from '../check.ts';
import { toWarning } from './mailbox.ts';

const FIELDS = ['from', 'dkim-signature'];
const LOOK_EVERY_MS = 1000;

/** Whether a test message to this address arrives in the mailbox of the account. */
export function isOwnAddress({ user, from, aliases }: AccountConfig, address: string): boolean {
  const key = toMailboxKey(address);
  return [user, from.email, ...aliases].some((own) => toMailboxKey(own) === key);
}

/**
 * Reads the test message back that an account has sent to itself: who signed it, and whether Gmail
 * has replaced From.
 *
 * @param waitMs how long to wait for it
 */
export async function checkReceivedCopy(
  { user, from }: AccountConfig,
  mailbox: ImapMailbox,
  query: SentQuery,
  waitMs: number,
): Promise<Check[]> {
  const startedAt = performance.now();
  const copy = await readCopy(mailbox, query, waitMs);
  const results: readonly CheckResult[] =
    'header' in copy
      ? [checkSigner(user, from.email, copy.header), checkFromOfCopy(from.email, copy.header)]
      : Array(2).fill(copy.fault ? toWarning(copy.fault) : unknown('the test message has not arrived yet'));
  const subjects = [
    { id: 'copy_signature', name: 'Signature', target: user },
    { id: 'copy_from', name: 'From received', target: user },
  ] as const;
  const durationMs = performance.now() - startedAt;
  return subjects.map((subject, i) => toCheck(subject, results[i] as CheckResult, durationMs));
}

/** Reads from INBOX until the message arrives; at last from Sent Mail, which has no signature. */
async function readCopy(
  mailbox: ImapMailbox,
  query: SentQuery,
  waitMs: number,
): Promise<{ readonly header: string } | { readonly fault: MailboxFault | null }> {
  const until = performance.now() + waitMs;
  const signal = AbortSignal.timeout(2 * waitMs);
  for (;;) {
    const isLast = performance.now() >= until;
    const result = await mailbox.readHeader(query, isLast ? 'sent' : 'inbox', FIELDS, signal);
    if (result.kind === 'found') return result;
    if (result.kind === 'failed') return result;
    if (isLast) return { fault: null };
    await delay(Math.min(LOOK_EVERY_MS, waitMs / 4));
  }
}

/**
 * Gmail signs with the domain of the account, or with a subdomain of gappssmtp.com while DKIM is not
 * started for it.
 */
function checkSigner(user: string, email: string, header: string): CheckResult {
  const domain = domainOf(email);
  const signers = fieldsOf(header, 'dkim-signature').flatMap(
    (field) => /\bd=([^;\s]+)/i.exec(field)?.[1] ?? [],
  );
  const [first] = signers;
  if (!first) return skip('the copy has no DKIM signature: Gmail signs mail to other mailboxes');
  const aligned = signers.find((signer) => `.${domain}`.endsWith(`.${signer.toLowerCase()}`));
  if (aligned) return pass(`signed by ${aligned}`);
  const detail = `signed by ${toOneLine([first])}, not by ${domain}`;
  if (signers.some((signer) => /(?:^|\.)gappssmtp\.com$/i.test(signer)))
    return warn('dkim_not_started', detail);
  return warn(isPersonalGmail(user) ? 'alias_unaligned' : 'dmarc_unaligned', detail);
}

function checkFromOfCopy(email: string, header: string): CheckResult {
  const [field = ''] = fieldsOf(header, 'from');
  const received = /<([^<>]+)>\s*$/.exec(field)?.[1] ?? field;
  if (toMailboxKey(received) === toMailboxKey(email)) return pass(`${email}, as sent`);
  return warn('from_replaced', `sent as ${email}, received as ${toOneLine([received])}`);
}

/** The unfolded values of a field (RFC 5322, 2.2.3). */
function fieldsOf(header: string, name: string): string[] {
  return header
    .replace(/\r?\n(?=[ \t])/g, '')
    .split(/\r?\n/)
    .filter((line) => line.toLowerCase().startsWith(`${name}:`))
    .map((line) => line.slice(name.length + 1).trim());
}
