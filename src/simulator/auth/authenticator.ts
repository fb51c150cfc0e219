/** Who may log in: any user name with the one secret, save those that are scripted to fail. */
import type { ReplyName } from '../smtp/replies.ts';
import { parseCount, parseScripted } from '../smtp/scripted-recipients.ts';

const FAULTS = {
  'authentication-required': 'authenticationRequired',
  'bad-credentials': 'badCredentials',
  'app-password-required': 'appPasswordRequired',
  'web-login': 'webLoginRequired',
  'too-many-logins': 'tooManyLogins',
  'temporary-problem': 'cannotAuthenticateNow',
  'cannot-decode': 'cannotDecode',
  'unknown-mechanism': 'unknownMechanism',
} as const satisfies Record<string, ReplyName>;

export type LoginFault = keyof typeof FAULTS;

export const LOGIN_FAULTS = Object.keys(FAULTS) as LoginFault[];

interface ScriptedLogin {
  readonly name: string;
  readonly summary: string;
  readonly fault: LoginFault;
  /** How many logins of each name fail before it works; for ever if not given. */
  readonly times?: number;
}

export const SCRIPTED_LOGINS: readonly ScriptedLogin[] = [
  { name: 'app-password-required', summary: '534 5.7.9', fault: 'app-password-required' },
  { name: 'browser-sign-in', summary: '534 5.7.14', fault: 'web-login' },
  { name: 'too-many-logins', summary: '454 4.7.0', fault: 'too-many-logins' },
  {
    name: 'heals-after',
    summary: '535 5.7.8 twice, then it works; heals-after+5 fails five times',
    fault: 'bad-credentials',
    times: 2,
  },
];

const BY_NAME = new Map(SCRIPTED_LOGINS.map((login) => [login.name, login]));

/** Decides about logins. Its settings may change while the simulator runs, so that an account can break and heal. */
export class Authenticator {
  /** The app password, for XOAUTH2 the access token. */
  secret: string;
  #fault: LoginFault | null = null;
  /** How many more logins fail by it. */
  #left = 0;
  /** How often each user name of a script that heals has failed. */
  readonly #failed = new Map<string, number>();

  constructor(secret: string) {
    this.secret = secret;
  }

  /** Makes the next `times` logins fail so, whoever tries; null lets them in again. */
  fail(fault: LoginFault | null, times: number): void {
    this.#fault = fault;
    this.#left = times;
  }

  /** The reply that refuses the login; null lets it in. */
  refusal(username: string, secret: string): ReplyName | null {
    const fault = this.#takeFault() ?? this.#scriptedFault(username);
    if (fault) return FAULTS[fault];
    return secret === this.secret ? null : 'badCredentials';
  }

  #takeFault(): LoginFault | null {
    if (this.#left <= 0) return null;
    this.#left -= 1;
    return this.#fault;
  }

  #scriptedFault(username: string): LoginFault | null {
    const address = parseScripted(username);
    const login = address && BY_NAME.get(address.name);
    if (!login) return null;
    if (login.times === undefined) return login.fault;
    const failed = this.#failed.get(username) ?? 0;
    if (failed >= (parseCount(address.detail) ?? login.times)) return null;
    this.#failed.set(username, failed + 1);
    return login.fault;
  }
}
