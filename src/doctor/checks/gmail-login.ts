import { createTokenSource } from '../../adapters/mail-server/token-source.ts';
import type { AccountConfig } from '../../config/account-config.ts';
import { logsIn, type SmtpServer } from '../../config/smtp-url.ts';
import type { Credentials } from '../../core/accounts/credentials.ts';
import { toMailboxKey } from '../../core/message/address.ts';
import { toIso } from '../../core/time.ts';
import { type Check, type CheckResult, pass, runCheck, skip, toCheck, warn } from '../check.ts';
import { diagnoseError } from '../net/error-diagnosis.ts';
import { openSmtpClient, type SmtpClient } from '../net/smtp-client.ts';
import type { NetworkOptions } from '../net/sockets.ts';
import { type ReachableServer, startSession } from './smtp-session.ts';

/** The authentication mechanism of an account, as EHLO names it; null if it has no credentials. */
export function mechanismOf({ credentials }: AccountConfig): string | null {
  if (!credentials) return null;
  return credentials().kind === 'app_password' ? 'PLAIN' : 'XOAUTH2';
}

/**
 * Checks whether Gmail will keep the From address of the account. Compares the configuration only.
 *
 * @param rewrites Whether a server replaces a From that it does not know.
 */
export function checkFrom({ user, from, aliases, domains }: AccountConfig, rewrites: boolean): CheckResult {
  const isFrom = (email: string) => toMailboxKey(email) === toMailboxKey(from.email);
  if ([user, ...aliases].some(isFrom))
    return pass(isFrom(user) ? 'the account itself' : `${from.email}, one of the aliases`);
  if (domains.some((domain) => from.email.endsWith(`@${domain}`)))
    return pass(`${from.email}, in one of the domains`);
  if (!rewrites) return pass(`${from.email}, which the server does not replace`);
  return warn('from_replaced', `${from.email} is neither the account nor one of its aliases`);
}

export interface LoginOptions {
  readonly ehloName: string;
  /** The address that the dry run names in RCPT TO. */
  readonly recipient: string;
}

/**
 * Checks the access token, if the account needs one, then the login, then MAIL and RCPT. Logs in at
 * most once, and never without encryption. Sends nothing.
 *
 * @param reachable null if no server works
 */
export async function checkLogin(
  account: AccountConfig,
  reachable: ReachableServer | null,
  options: LoginOptions,
  network: NetworkOptions,
): Promise<Check[]> {
  if (!reachable) return skipLoginChecks(account, 'no server works');
  const { user, credentials } = account;
  if (!credentials || !logsIn(reachable.server))
    return checkDryRun(account, reachable, null, options, network);
  const { tokenCheck, command } = await prepareLogin(user, credentials(), network.limitMs);
  const checks =
    command === null
      ? skipLoginChecks(account, 'there is no token')
      : await checkDryRun(account, reachable, command, options, network);
  return tokenCheck ? [tokenCheck, ...checks] : checks;
}

/** The checks of an account that is not tried, and the reason. */
export function skipLoginChecks({ user }: AccountConfig, reason: string): Check[] {
  const { auth, envelope } = subjectsOf(user);
  const result = skip(`not tried: ${reason}`);
  return [toCheck(auth, result), toCheck(envelope, result)];
}

function subjectsOf(target: string) {
  return {
    token: { id: 'oauth_token', name: 'OAuth token', target },
    auth: { id: 'auth', name: 'AUTH', target },
    envelope: { id: 'envelope', name: 'MAIL and RCPT', target },
  } as const;
}

/** Returns the AUTH command, and the check of the access token in it. */
async function prepareLogin(
  user: string,
  credentials: Credentials,
  limitMs: number,
): Promise<{ tokenCheck: Check | null; command: string | null }> {
  if (credentials.kind === 'app_password')
    return { tokenCheck: null, command: `AUTH PLAIN ${toBase64(`\0${user}\0${credentials.password}`)}` };
  let command: string | null = null;
  const tokenCheck = await runCheck(subjectsOf(user).token, async () => {
    try {
      const { token } = await createTokenSource(user, credentials, limitMs).getToken(null);
      command = `AUTH XOAUTH2 ${toBase64(`user=${user}\x01auth=Bearer ${token}\x01\x01`)}`;
      return toTokenResult(credentials);
    } catch (error) {
      return diagnoseError(error);
    }
  });
  return { tokenCheck, command };
}

function toTokenResult(credentials: Credentials): CheckResult {
  const endsAt = credentials.kind === 'refresh_token' ? credentials.endsAt : undefined;
  return endsAt === undefined
    ? pass('an access token was issued')
    : warn('consent_testing', `an access token was issued, but the login ends on ${toIso(endsAt)}`);
}

/** Runs AUTH, MAIL and RCPT in one session, then RSET and QUIT. */
async function checkDryRun(
  account: AccountConfig,
  { server, address }: ReachableServer,
  authCommand: string | null,
  options: LoginOptions,
  network: NetworkOptions,
): Promise<Check[]> {
  const subjects = subjectsOf(account.user);
  using resources = new DisposableStack();
  let session: SmtpClient | null = null;
  const auth = await runCheck(subjects.auth, async () => {
    try {
      const client = resources.use(await openSmtpClient(server, address, network));
      await startSession(client, server, options.ehloName);
      session = client;
      return authCommand === null ? skip(describeNoLogin(server)) : await logIn(client, authCommand);
    } catch (error) {
      return diagnoseError(error);
    }
  });
  if (auth.status === 'fail' || !session)
    return [auth, toCheck(subjects.envelope, skip('not tried: there is no session'))];
  const client: SmtpClient = session;
  return [
    auth,
    await runCheck(subjects.envelope, () => tryEnvelope(client, account.from.email, options.recipient)),
  ];
}

function describeNoLogin({ login }: SmtpServer): string {
  return `no login: ${login === 'none' ? 'login=none' : 'tls=never'}`;
}

async function logIn(client: SmtpClient, authCommand: string): Promise<CheckResult> {
  const mechanism = authCommand.split(' ')[1];
  const stage = mechanism === 'XOAUTH2' ? 'oauth' : 'auth';
  const reply = await client.sendCommand(authCommand, stage);
  // XOAUTH2 refuses with a challenge: an empty line requests the error reply itself.
  const finalReply = reply.code === 334 ? await client.sendCommand('', stage) : reply;
  return pass(`logged in with ${mechanism}: ${finalReply.code} ${finalReply.response}`);
}

async function tryEnvelope(client: SmtpClient, from: string, recipient: string): Promise<CheckResult> {
  try {
    const smtpUtf8 = /^\p{ASCII}*$/u.test(from + recipient) ? '' : ' SMTPUTF8';
    await client.sendCommand(`MAIL FROM:<${from}>${smtpUtf8}`, 'mail');
    await client.sendCommand(`RCPT TO:<${recipient}>`, 'rcpt');
    await client.sendCommand('RSET', 'session');
    await client.sendCommand('QUIT', 'session');
    return pass(`${from} may send to ${recipient}; nothing was sent`);
  } catch (error) {
    return diagnoseError(error);
  }
}

function toBase64(text: string): string {
  return Buffer.from(text).toString('base64');
}
