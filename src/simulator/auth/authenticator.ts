/**
 * Accepts logins: any user name with the one secret, except for user names that are scripted to
 * fail.
 */
import type { ReplyName } from '../gmail/replies.ts';
import { parseCount, parseScriptedAddress } from '../gmail/scripted-recipients.ts';

const FAULT_REPLIES = {
  'authentication-required': 'authenticationRequired',
  'bad-credentials': 'badCredentials',
  'app-password-required': 'appPasswordRequired',
  'web-login': 'webLoginRequired',
  'too-many-logins': 'tooManyLogins',
  'temporary-problem': 'cannotAuthenticateNow',
  'cannot-decode': 'cannotDecode',
  'unknown-mechanism': 'unknownMechanism',
} as const satisfies Record<string, ReplyName>;

export type LoginFault = keyof typeof FAULT_REPLIES;

export const LOGIN_FAULTS = Object.keys(FAULT_REPLIES) as LoginFault[];

interface ScriptedLogin {
  readonly name: string;
  readonly summary: string;
  readonly fault: LoginFault;
  /** Number of logins per user name that fail before one succeeds; all if not given. */
  readonly times?: number;
}

export const SCRIPTED_LOGINS: readonly ScriptedLogin[] = [
  { name: 'app-password-required', summary: '534 5.7.9', fault: 'app-password-required' },
  { name: 'browser-sign-in', summary: '534 5.7.14', fault: 'web-login' },
  { name: 'too-many-logins', summary: '454 4.7.0', fault: 'too-many-logins' },
  {
    name: 'heals-after',
    summary: '535 5.7.8 twice, then success; heals-after+5 fails five times',
    fault: 'bad-credentials',
    times: 2,
  },
];

const BY_NAME = new Map(SCRIPTED_LOGINS.map((login) => [login.name, login]));

/** Checks logins. Its settings can change at any time, so that an account can fail and recover. */
export class Authenticator {
  /** The app password; for XOAUTH2 also an access token. */
  secret: string;
  #fault: LoginFault | null = null;
  /** Number of logins that still fail with `#fault`. */
  #remainingFailures = 0;
  /** Number of failed logins for each user name that recovers. */
  readonly #failedLogins = new Map<string, number>();

  constructor(secret: string) {
    this.secret = secret;
  }

  /** Makes the next `times` logins fail for every user; null ends the fault. */
  setFault(fault: LoginFault | null, times: number): void {
    this.#fault = fault;
    this.#remainingFailures = times;
  }

  /** Returns the reply that refuses the login; null accepts it. */
  refusal(username: string, secret: string): ReplyName | null {
    const fault = this.#nextFault() ?? this.#scriptedFault(username);
    if (fault) return FAULT_REPLIES[fault];
    return secret === this.secret ? null : 'badCredentials';
  }

  #nextFault(): LoginFault | null {
    if (this.#remainingFailures <= 0) return null;
    this.#remainingFailures -= 1;
    return this.#fault;
  }

  /** Returns the fault of a user name that always fails; null for all others. */
  permanentFault(username: string): LoginFault | null {
    const login = BY_NAME.get(parseScriptedAddress(username)?.name ?? '');
    return login && login.times === undefined ? login.fault : null;
  }

  #scriptedFault(username: string): LoginFault | null {
    const address = parseScriptedAddress(username);
    const login = BY_NAME.get(address?.name ?? '');
    if (!address || login?.times === undefined) return this.permanentFault(username);
    const failed = this.#failedLogins.get(username) ?? 0;
    if (failed >= (parseCount(address.detail) ?? login.times)) return null;
    this.#failedLogins.set(username, failed + 1);
    return login.fault;
  }
}
