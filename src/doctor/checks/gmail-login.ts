import { createTokenSource } from '../../adapters/smtp/auth/token-source.ts';
import type { AccountConfig } from '../../config/account-config.ts';
import type { Credentials } from '../../core/accounts/credentials.ts';
import { toMailboxKey } from '../../core/message/address.ts';
import { type Check, type Finding, pass, skip, toCheck, warn } from '../report.ts';
import { explain } from '../wire/connection-errors.ts';
import { type Dialogue, openDialogue } from '../wire/smtp-dialogue.ts';
import type { Wire } from '../wire/sockets.ts';
import { timed } from './network.ts';
import { begin, type Host } from './smtp-session.ts';

/** How an account logs in, in the words of EHLO. */
export function mechanismOf({ credentials }: AccountConfig): string | null {
  if (!credentials) return null;
  return credentials().kind === 'app_password' ? 'PLAIN' : 'XOAUTH2';
}

/** Whether Gmail will keep the account's From. Asks nobody: only the operator and Gmail know. */
export function checkFrom({ user, from, aliases }: AccountConfig): Finding {
  const same = (email: string) => toMailboxKey(email) === toMailboxKey(from.email);
  if ([user, ...aliases].some(same))
    return pass(same(user) ? 'the account itself' : `${from.email}, one of the aliases`);
  return warn('from_replaced', `${from.email} is neither the account nor one of its aliases`);
}

export interface LoginNeeds {
  readonly ehloName: string;
  /** Whom the dry run names in RCPT TO. */
  readonly recipient: string;
}

/**
 * A token if the account needs one, the login, and a dry MAIL and RCPT. One login at most, never in the clear; nothing is sent.
 *
 * @param host null if no server works
 */
export async function checkLogin(
  account: AccountConfig,
  host: Host | null,
  needs: LoginNeeds,
  wire: Wire,
): Promise<Check[]> {
  if (!host) return skipLoginChecks(account, 'no server works');
  const { user, credentials } = account;
  if (!credentials || host.server.tls === 'never') return rehearse(account, host, null, needs, wire);
  const { token, line } = await prepareLogin(user, credentials(), wire.limitMs);
  const rest =
    line === null
      ? skipLoginChecks(account, 'there is no token')
      : await rehearse(account, host, line, needs, wire);
  return token ? [token, ...rest] : rest;
}

/** The lines of an account that is not tried, and why. */
export function skipLoginChecks({ user }: AccountConfig, why: string): Check[] {
  const { auth, envelope } = aboutOf(user);
  const finding = skip(`not tried: ${why}`);
  return [toCheck(auth, finding), toCheck(envelope, finding)];
}

function aboutOf(target: string) {
  return {
    token: { id: 'oauth_token', name: 'OAuth token', target },
    auth: { id: 'auth', name: 'AUTH', target },
    envelope: { id: 'envelope', name: 'MAIL and RCPT', target },
  } as const;
}

/** The line that logs in, and the check of the token in it. */
async function prepareLogin(
  user: string,
  credentials: Credentials,
  limitMs: number,
): Promise<{ token: Check | null; line: string | null }> {
  if (credentials.kind === 'app_password')
    return { token: null, line: `AUTH PLAIN ${base64(`\0${user}\0${credentials.password}`)}` };
  let line: string | null = null;
  const check = await timed(aboutOf(user).token, async () => {
    try {
      const { token } = await createTokenSource(user, credentials, limitMs).take(null);
      line = `AUTH XOAUTH2 ${base64(`user=${user}\x01auth=Bearer ${token}\x01\x01`)}`;
      return pass('an access token was issued');
    } catch (error) {
      return explain(error);
    }
  });
  return { token: check, line };
}

/** AUTH, MAIL and RCPT in one session, which RSET ends. */
async function rehearse(
  account: AccountConfig,
  host: Host,
  login: string | null,
  needs: LoginNeeds,
  wire: Wire,
): Promise<Check[]> {
  const about = aboutOf(account.user);
  using opened = new DisposableStack();
  let session: Dialogue | null = null;
  const auth = await timed(about.auth, async () => {
    try {
      const dialogue = opened.use(await openDialogue(host.server, host.address, wire));
      await begin(dialogue, host.server, needs.ehloName);
      session = dialogue;
      return login === null ? skip('tls=never: nobody logs in') : await logIn(dialogue, login);
    } catch (error) {
      return explain(error);
    }
  });
  if (auth.status === 'fail' || !session)
    return [auth, toCheck(about.envelope, skip('not tried: there is no session'))];
  const dialogue: Dialogue = session;
  return [
    auth,
    await timed(about.envelope, () => tryEnvelope(dialogue, account.from.email, needs.recipient)),
  ];
}

async function logIn(dialogue: Dialogue, login: string): Promise<Finding> {
  const mechanism = login.split(' ')[1];
  const stage = mechanism === 'XOAUTH2' ? 'oauth' : 'auth';
  const reply = await dialogue.say(login, stage);
  // A challenge is how XOAUTH2 says no: an empty line asks for the refusal itself.
  const last = reply.code === 334 ? await dialogue.say('', stage) : reply;
  return pass(`logged in with ${mechanism}: ${last.code} ${last.response}`);
}

async function tryEnvelope(dialogue: Dialogue, from: string, recipient: string): Promise<Finding> {
  try {
    const utf8 = /^\p{ASCII}*$/u.test(from + recipient) ? '' : ' SMTPUTF8';
    await dialogue.say(`MAIL FROM:<${from}>${utf8}`, 'mail');
    await dialogue.say(`RCPT TO:<${recipient}>`, 'rcpt');
    await dialogue.say('RSET', 'session');
    await dialogue.say('QUIT', 'session');
    return pass(`${from} may write to ${recipient}; nothing was sent`);
  } catch (error) {
    return explain(error);
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
