import { defaultEhloName } from '../../adapters/smtp/server-options.ts';
import type { AccountConfig } from '../../config/account-config.ts';
import type { Config } from '../../config/config.ts';
import { rewritesFrom } from '../../config/smtp-url.ts';
import type { RunningService } from '../../core/ports/doctor-report.ts';
import { type Check, fail, runCheck, skip, toCheck, warn } from '../check.ts';
import type { NetworkOptions } from '../net/sockets.ts';
import { checkFrom, checkLogin, skipLoginChecks } from './gmail-login.ts';
import { checkMailbox, openMailboxOf, skipMailboxCheck } from './mailbox.ts';
import { checkReceivedCopy, isOwnAddress } from './received-copy.ts';
import type { ReachableServer } from './smtp-session.ts';
import { sendTestMessage, type TestMessage } from './test-message.ts';

export interface AccountCheckOptions {
  /** Recipient of a test message; null sends none. */
  readonly sendTo: string | null;
  readonly network: NetworkOptions;
  readonly version: string;
  /** The service that this process runs. Null: it runs none. */
  readonly service: RunningService | null;
}

type AccountsConfig = Pick<Config, 'accounts' | 'smtp' | 'fromPolicy' | 'mailbox'>;

/**
 * Checks every account, one after the other, on the first server that works. Logs in once per
 * account and protocol, and not at all after a 454, since Gmail counts logins.
 *
 * @param reachable null if no server works
 */
export async function checkGmailAccounts(
  config: AccountsConfig,
  reachable: ReachableServer | null,
  options: AccountCheckOptions,
): Promise<Check[]> {
  const checks: Check[] = [];
  const rewrites = config.smtp.servers.some(rewritesFrom);
  if (config.fromPolicy === 'allow' && rewrites) {
    checks.push(
      toCheck(
        { id: 'from', name: 'From', target: 'FROM_POLICY' },
        warn('any_from_allowed', 'clients may send from any address'),
      ),
    );
  }
  if (config.accounts.length === 0) {
    checks.push(
      toCheck(
        { id: 'auth', name: 'AUTH', target: '' },
        fail('no_credentials', 'there are no usable credentials to log in with'),
      ),
    );
  }
  for (const account of config.accounts) {
    const throttled =
      checks.some(({ code }) => code === 'login_throttled') || options.service?.isLoginLocked(account.user);
    checks.push(
      await runCheck({ id: 'from', name: 'From', target: account.user }, () => checkFrom(account, rewrites)),
    );
    if (throttled) {
      const reason = 'Gmail reports too many logins';
      checks.push(...skipLoginChecks(account, reason), skipMailboxCheck(account, reason));
    } else checks.push(...(await checkAccount(account, reachable, config, options)));
  }
  return checks;
}

async function checkAccount(
  account: AccountConfig,
  reachable: ReachableServer | null,
  { smtp, mailbox }: AccountsConfig,
  options: AccountCheckOptions,
): Promise<Check[]> {
  const { sendTo, network } = options;
  const ehloName = smtp.ehloName ?? defaultEhloName(account.user);
  const loginOptions = { ehloName, recipient: sendTo ?? account.user };
  const checks = await checkLogin(account, reachable, loginOptions, network);
  const isRefused = checks.some(
    ({ id, status }) => ['oauth_token', 'auth'].includes(id) && status === 'fail',
  );
  const mailboxCheck = isRefused
    ? skipMailboxCheck(account, 'the login was refused')
    : await checkMailbox(account, mailbox, network);
  if (sendTo === null) return [...checks, mailboxCheck];
  const canSend = reachable !== null && checks.every(({ status }) => status !== 'fail');
  const sent = canSend ? await sendTestMessageTo(sendTo, account, { smtp, ehloName }, options) : null;
  const send = { id: 'send', name: 'Send', target: account.user };
  return [
    ...checks,
    mailboxCheck,
    toCheck(send, sent?.result ?? skip('not tried: an earlier check failed'), sent?.durationMs),
    ...(sent && mailboxCheck.status === 'pass'
      ? await readBack(sendTo, account, sent, mailbox, network)
      : []),
  ];
}

async function sendTestMessageTo(
  sendTo: string,
  account: AccountConfig,
  { smtp, ehloName }: Pick<AccountsConfig, 'smtp'> & { readonly ehloName: string },
  { network: { ca }, version }: AccountCheckOptions,
): Promise<TestMessage & { readonly durationMs: number }> {
  const startedAt = performance.now();
  const { servers } = smtp;
  const message = await sendTestMessage(account, sendTo, { servers, ehloName, ca, version });
  return { ...message, durationMs: performance.now() - startedAt };
}

/** Reads the copy of a test message that the account has sent to itself. */
async function readBack(
  sendTo: string,
  account: AccountConfig,
  { result, messageId, since }: TestMessage,
  config: AccountsConfig['mailbox'],
  network: NetworkOptions,
): Promise<Check[]> {
  if (result.status !== 'pass' || !isOwnAddress(account, sendTo)) return [];
  await using mailbox = openMailboxOf(account, config, network);
  return mailbox ? await checkReceivedCopy(account, mailbox, { messageId, since }, 2 * network.limitMs) : [];
}
