import type { ImapFlow } from 'imapflow';
import type { LoginProvider, SessionAuth, SessionLogin } from '../mail-server/login.ts';
import { lookupHost } from '../mail-server/resolve.ts';
import { toTlsOptions } from '../mail-server/tls-options.ts';
import {
  isRefusedLogin,
  type LoginContext,
  MailboxError,
  toLoginFault,
  toMailboxFault,
} from './imap-errors.ts';
import { createMessageSearch, type MessageSearch } from './message-search.ts';

/** Time limits, in ms. */
export interface ImapDeadlines {
  /** Name resolution, TCP and TLS. */
  readonly connectMs: number;
  readonly greetingMs: number;
  /** One look, with the connection and the login that it needs. */
  readonly lookMs: number;
  /** How long an unused connection stays open. */
  readonly idleMs: number;
}

export const IMAP_DEADLINES: ImapDeadlines = {
  connectMs: 10_000,
  greetingMs: 10_000,
  lookMs: 20_000,
  idleMs: 60_000,
};

export interface SessionOptions {
  readonly user: string;
  /** The credentials of the account, which its SMTP connections use, too. */
  readonly login: LoginProvider;
  readonly server: { readonly host: string; readonly port: number; readonly tls: 'starttls' | 'implicit' };
  /** PEM of a CA to trust in addition to Node's. */
  readonly ca: string | null;
  readonly deadlines: ImapDeadlines;
}

/** A connection to an IMAP server, encrypted and logged in. */
export interface ImapSession {
  readonly client: ImapFlow;
  readonly search: MessageSearch;
  /** False once the connection has ended, its token is about to, or the credentials were replaced. */
  isUsable(): boolean;
  /** The error that has ended the connection. Null if there is none. */
  failure(): unknown;
  close(): void;
}

/** Sizes of responses, in bytes. Those to our commands are far smaller, for any mailbox. */
const MAX_LINE_BYTES = 2 * 1024 * 1024;
const MAX_LITERAL_BYTES = 256 * 1024;
/** Maximum size of what a server sends until the end of the login. A flood would slow sending. */
const MAX_LOGIN_BYTES = 256 * 1024;
const CHECK_LOGIN_EVERY_MS = 50;

/**
 * Connects and logs in. A refused access token that came from the cache is replaced once. After a
 * refusal, the credentials are read again at the next login.
 *
 * @throws {MailboxError} If the login is refused, or no connection can be made.
 * @throws {TokenError} If there is no access token.
 */
export async function openSession(options: SessionOptions, signal: AbortSignal): Promise<ImapSession> {
  const accountLogin = options.login.current();
  const sessionLogin = accountLogin.createSessionLogin();
  const client = await logIn(options, sessionLogin, signal);
  let failure: unknown = null;
  client.on('error', (error) => {
    failure ??= error;
  });
  return {
    client,
    search: createMessageSearch(client),
    isUsable: () => client.usable && !sessionLogin.isExpired() && options.login.isCurrent(accountLogin),
    failure: () => failure,
    close: () => client.close(),
  };
}

/** The secret of one login, and what is known of it. */
interface Secret extends LoginContext {
  readonly auth: { readonly user: string; readonly pass?: string; readonly accessToken?: string };
  /** Whether the server may accept another one: this one came from the cache. */
  readonly isReplaceable: boolean;
}

async function logIn(
  options: SessionOptions,
  { auth }: SessionLogin,
  signal: AbortSignal,
): Promise<ImapFlow> {
  for (let renew = false; ; renew = true) {
    const secret = await secretOf(auth, renew);
    try {
      return await connect(options, secret, signal);
    } catch (error) {
      if (!isRefusedLogin(error)) throw new MailboxError(toMailboxFault(error, secret.secrets));
      const fault = toLoginFault(error, secret);
      if (fault.isRefusal && secret.isReplaceable && !renew) continue;
      if (fault.isRefusal) options.login.reportRefused();
      throw new MailboxError(fault);
    }
  }
}

async function secretOf(auth: SessionAuth, renew: boolean): Promise<Secret> {
  const { user } = auth;
  if (auth.kind === 'password')
    return {
      auth: { user, pass: auth.password },
      scopes: null,
      secrets: [auth.password],
      isReplaceable: false,
    };
  const { token, scopes, isNew } = await auth.getToken(renew);
  return { auth: { user, accessToken: token }, scopes, secrets: [token], isReplaceable: !isNew };
}

async function connect(
  { server, ca, deadlines }: SessionOptions,
  { auth }: Secret,
  signal: AbortSignal,
): Promise<ImapFlow> {
  // Most instances never need it: it is loaded at the first look.
  const { ImapFlow: Client } = await import('imapflow');
  signal.throwIfAborted();
  const client = new Client({
    host: server.host,
    port: server.port,
    secure: server.tls === 'implicit',
    // Required: without it, imapflow goes on unencrypted if STARTTLS is not offered.
    ...(server.tls === 'starttls' ? { doSTARTTLS: true } : {}),
    tls: { ...toTlsOptions(ca), lookup: lookupHost },
    auth,
    clientInfo: { name: 'Outtray', version: false, vendor: false, 'support-url': false },
    // Its log has addresses and subjects.
    logger: false,
    disableAutoIdle: true,
    disableAutoEnable: true,
    disableCompression: true,
    connectionTimeout: deadlines.connectMs,
    greetingTimeout: deadlines.greetingMs,
    socketTimeout: deadlines.idleMs + deadlines.lookMs,
    maxLineLength: MAX_LINE_BYTES,
    maxLiteralSize: MAX_LITERAL_BYTES,
    maxResponseSize: MAX_LINE_BYTES + MAX_LITERAL_BYTES,
  });
  // Errors between commands show as a connection that is not usable.
  client.on('error', () => {});
  const close = () => client.close();
  signal.addEventListener('abort', close, { once: true });
  const check = setInterval(() => {
    if (client.stats().received > MAX_LOGIN_BYTES) client.close();
  }, CHECK_LOGIN_EVERY_MS);
  try {
    await client.connect();
    return client;
  } finally {
    clearInterval(check);
    signal.removeEventListener('abort', close);
  }
}
