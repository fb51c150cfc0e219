import { defaultEhloName } from '../../adapters/smtp/server-options.ts';
import type { AccountConfig } from '../../config/account-config.ts';
import type { Config } from '../../config/config.ts';
import { rewritesFrom } from '../../config/smtp-url.ts';
import type { RunningService } from '../../core/ports/doctor-report.ts';
import { type Check, type CheckResult, fail, runCheck, skip, toCheck, warn } from '../check.ts';
import type { NetworkOptions } from '../net/sockets.ts';
import { checkFrom, checkLogin, skipLoginChecks } from './gmail-login.ts';
import type { ReachableServer } from './smtp-session.ts';
import { sendTestMessage } from './test-message.ts';

export interface AccountCheckOptions {
  /** Recipient of a test message; null sends none. */
  readonly sendTo: string | null;
  readonly network: NetworkOptions;
  readonly version: string;
  /** The service that this process runs. Null: it runs none. */
  readonly service: RunningService | null;
}

type AccountsConfig = Pick<Config, 'accounts' | 'smtp' | 'fromPolicy'>;

/**
 * Checks every account, one after the other, on the first server that works. Logs in once per
 * account, and not at all after a 454, since Gmail counts logins.
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
    if (throttled) checks.push(...skipLoginChecks(account, 'Gmail reports too many logins'));
    else checks.push(...(await checkAccount(account, reachable, config, options)));
  }
  return checks;
}

async function checkAccount(
  account: AccountConfig,
  reachable: ReachableServer | null,
  { smtp }: AccountsConfig,
  options: AccountCheckOptions,
): Promise<Check[]> {
  const { sendTo, network, version } = options;
  const ehloName = smtp.ehloName ?? defaultEhloName(account.user);
  const loginOptions = { ehloName, recipient: sendTo ?? account.user };
  const checks = await checkLogin(account, reachable, loginOptions, network);
  if (sendTo === null) return checks;
  const canSend = reachable !== null && checks.every(({ status }) => status !== 'fail');
  const send = (): CheckResult | Promise<CheckResult> =>
    canSend
      ? sendTestMessage(account, sendTo, { servers: smtp.servers, ehloName, ca: network.ca, version })
      : skip('not tried: an earlier check failed');
  return [...checks, await runCheck({ id: 'send', name: 'Send', target: account.user }, send)];
}
