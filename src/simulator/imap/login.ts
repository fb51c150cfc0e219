/** LOGIN and AUTHENTICATE, with Gmail's replies. */
import { type ImapLoginFault, loginRefusal } from '../mailbox/faults.ts';
import { type Argument, BadCommand } from './arguments.ts';
import type { Session } from './session.ts';

const BASE = 'IMAP4rev1 UNSELECT IDLE NAMESPACE ID CHILDREN X-GM-EXT-1';
export const CAPABILITIES_BEFORE_LOGIN = `${BASE} SASL-IR AUTH=XOAUTH2 AUTH=PLAIN AUTH=OAUTHBEARER`;
export const CAPABILITIES = `${BASE} UIDPLUS SPECIAL-USE LITERAL-`;

/** Gmail's limit of connections for each account. */
const MAX_CONNECTIONS = 15;

/** What Gmail sends about a token that is not valid, or not for mail. */
const TOKEN_ERROR = JSON.stringify({ status: '400', schemes: 'Bearer', scope: 'https://mail.google.com/' });

export function logIn(session: Session, [user, password]: readonly Argument[]): string {
  if (typeof user !== 'string' || typeof password !== 'string')
    throw new BadCommand('LOGIN needs a user and a password');
  return finish(session, { user, secret: password, isToken: false });
}

export async function authenticate(
  session: Session,
  [mechanism, initial]: readonly Argument[],
): Promise<string> {
  const name = String(mechanism).toUpperCase();
  if (!['PLAIN', 'XOAUTH2', 'OAUTHBEARER'].includes(name)) return 'NO Unsupported AUTH mechanism';
  let encoded = initial;
  if (encoded === undefined) {
    session.output.line('+ ');
    encoded = (await session.reader.readLine()) ?? '*';
  }
  if (encoded === '*') return 'BAD Canceled';
  const response = Buffer.from(String(encoded), 'base64').toString();
  const credentials = name === 'PLAIN' ? parsePlain(response) : parseToken(response);
  if (!credentials) return 'BAD Invalid SASL argument.';
  if (name !== 'PLAIN' && !isValid(session, credentials)) {
    session.output.line(`+ ${Buffer.from(TOKEN_ERROR).toString('base64')}`);
    await session.reader.readLine();
  }
  return finish(session, credentials);
}

interface Credentials {
  readonly user: string;
  readonly secret: string;
  readonly isToken: boolean;
}

function parsePlain(response: string): Credentials | null {
  const [, user, secret] = response.split('\0');
  return user !== undefined && secret !== undefined ? { user, secret, isToken: false } : null;
}

/** Parses the responses of XOAUTH2 (`user=…`) and of OAUTHBEARER (`n,a=…,`). */
function parseToken(response: string): Credentials | null {
  const [head = '', ...fields] = response.split('\u0001');
  const user = /^(?:user=(.*)|n,a=([^,]*),)$/.exec(head);
  const token = fields.map((field) => /^auth=Bearer (.+)$/i.exec(field)?.[1]).find(Boolean);
  return user && token ? { user: user[1] ?? user[2] ?? '', secret: token, isToken: true } : null;
}

function isValid({ state }: Session, { user, secret, isToken }: Credentials): boolean {
  // Text of the client must not break the line of a response.
  if (!/^[^\0- \x7f]+$/.test(user)) return false;
  return secret === state.authenticator.secret || (isToken && state.tokens.accepts(user, secret));
}

function finish(session: Session, credentials: Credentials): string {
  const { user, secret, isToken } = credentials;
  const { imap, authenticator } = session.state;
  const fault = findFault(session, credentials);
  imap.counters[fault === null ? 'logins' : 'failedLogins'] += 1;
  if (fault !== null) {
    const lines = [...loginRefusal(fault)];
    const refusal = lines.pop();
    for (const line of lines) session.output.line(`* NO ${line}`);
    return `NO ${refusal}`;
  }
  session.login = { user, token: isToken && secret !== authenticator.secret ? secret : null };
  session.output.line(`* CAPABILITY ${CAPABILITIES}`);
  return `OK ${user} authenticated (Success)`;
}

function findFault(session: Session, credentials: Credentials): ImapLoginFault | null {
  const { imap, authenticator } = session.state;
  const fault = imap.faults.nextLoginFault();
  if (fault !== null) return fault;
  const permanent = authenticator.permanentFault(credentials.user);
  if (permanent === 'app-password-required' || permanent === 'web-login') return permanent;
  if (!isValid(session, credentials)) return 'bad-credentials';
  if (!imap.mailboxes.isImapEnabled(credentials.user)) return 'imap-off';
  return imap.sessionsOf(credentials.user) >= MAX_CONNECTIONS ? 'too-many-connections' : null;
}
