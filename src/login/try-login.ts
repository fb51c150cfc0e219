import { defaultEhloName } from '../adapters/smtp/server-options.ts';
import { logsIn, type SmtpServer } from '../config/smtp-url.ts';
import type { Credentials } from '../core/accounts/credentials.ts';
import type { Check } from '../doctor/check.ts';
import { checkLogin, mechanismOf } from '../doctor/checks/gmail-login.ts';
import { COMPARE_WITH, checkHttpsPort } from '../doctor/checks/reachability.ts';
import { checkSmtpServers } from '../doctor/checks/smtp-servers.ts';
import { NETWORK_DEFAULTS, type NetworkOptions } from '../doctor/net/sockets.ts';

/**
 * How a login ended. `refused`: no token was issued, or the server refused it. `not_tried`: no
 * server can be reached, or TLS or EHLO fails. Both name the checks that failed.
 */
export type Trial =
  | { readonly kind: 'accepted'; readonly server: string }
  | { readonly kind: 'refused' | 'not_tried'; readonly failures: readonly Check[] };

/** Where to log in. */
export interface TrialOptions {
  readonly servers: readonly SmtpServer[];
  /** SMTP_EHLO_NAME, if it is set. */
  readonly ehloName?: string | undefined;
  readonly network?: Partial<NetworkOptions> | undefined;
}

/**
 * Logs in with new credentials, on the first server that works. Sends nothing.
 *
 * @param credentials null for servers that need no login; the dry run of an envelope then decides
 */
export async function tryLogin(
  user: string,
  credentials: Credentials | null,
  { servers, ehloName: givenEhloName, network: overrides }: TrialOptions,
): Promise<Trial> {
  const network = { ...NETWORK_DEFAULTS, ...overrides };
  const ehloName = givenEhloName ?? defaultEhloName(user);
  const account = {
    user,
    credentials: credentials && (() => credentials),
    from: { email: user, name: null },
    aliases: [],
    domains: [],
    daily: { messages: 0, recipients: 0 },
    reserve: 0,
  };
  const mechanism = mechanismOf(account);
  const { checks: serverChecks, reachable } = await checkSmtpServers(
    credentials ? servers.filter(logsIn) : servers,
    { ehloName, mechanisms: mechanism === null ? [] : [mechanism], maxMessageBytes: 0 },
    network,
    () => checkHttpsPort(COMPARE_WITH, network),
  );
  if (!reachable) return { kind: 'not_tried', failures: failuresOf(serverChecks) };
  const checks = await checkLogin(account, reachable, { ehloName, recipient: user }, network);
  // After a login, the dry run of an envelope is about mail from the account to itself.
  const failures = failuresOf(checks).filter(({ id }) => id !== 'envelope' || credentials === null);
  return failures.length > 0
    ? { kind: 'refused', failures }
    : { kind: 'accepted', server: reachable.server.host };
}

function failuresOf(checks: readonly Check[]): Check[] {
  return checks.filter(({ status }) => status === 'fail');
}
