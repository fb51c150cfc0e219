import { ehloName } from '../../adapters/smtp/connection/ehlo-name.ts';
import type { AccountConfig } from '../../config/account-config.ts';
import type { Config } from '../../config/config.ts';
import { type Check, type Finding, fail, skip, toCheck, warn } from '../report.ts';
import type { Wire } from '../wire/sockets.ts';
import { checkFrom, checkLogin, skipLoginChecks } from './gmail-login.ts';
import { timed } from './network.ts';
import type { Host } from './smtp-session.ts';
import { sendMessage } from './test-message.ts';

export interface SenderOptions {
  /** Where a real message goes; null sends none. */
  readonly sendTo: string | null;
  readonly wire: Wire;
  readonly version: string;
}

type Senders = Pick<Config, 'accounts' | 'smtp' | 'fromPolicy'>;

/**
 * Every account, one after the other, on the first server that works: one login each, and none after a 454, since Gmail counts them.
 *
 * @param host null if no server works
 */
export async function checkGmailAccounts(
  config: Senders,
  host: Host | null,
  options: SenderOptions,
): Promise<Check[]> {
  const checks: Check[] = [];
  if (config.fromPolicy === 'allow') {
    checks.push(
      toCheck(
        { id: 'from', name: 'From', target: 'FROM_POLICY' },
        warn('any_from_allowed', 'callers may send from any address'),
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
    const throttled = checks.some(({ code }) => code === 'login_throttled');
    checks.push(await timed({ id: 'from', name: 'From', target: account.user }, () => checkFrom(account)));
    if (throttled) checks.push(...skipLoginChecks(account, 'Gmail counts too many logins'));
    else checks.push(...(await examineSender(account, host, config, options)));
  }
  return checks;
}

async function examineSender(
  account: AccountConfig,
  host: Host | null,
  { smtp }: Senders,
  options: SenderOptions,
): Promise<Check[]> {
  const { sendTo, wire, version } = options;
  const name = ehloName(account.user);
  const checks = await checkLogin(account, host, { ehloName: name, recipient: sendTo ?? account.user }, wire);
  if (sendTo === null) return checks;
  const works = host !== null && checks.every(({ status }) => status !== 'fail');
  const send = (): Finding | Promise<Finding> =>
    works
      ? sendMessage(account, sendTo, { servers: smtp.servers, ehloName: name, ca: wire.ca, version })
      : skip('not tried: the checks before it failed');
  return [...checks, await timed({ id: 'send', name: 'Send', target: account.user }, send)];
}
