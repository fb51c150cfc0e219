/** Who may log in: any user name with the one secret, save those that are scripted to fail. */
import type { ReplyName } from './replies.ts';
import { parseScripted } from './scripts.ts';

const FAULTS = {
  'bad-credentials': 'badCredentials',
  'app-password-required': 'appPasswordRequired',
  'web-login': 'webLoginRequired',
  'too-many-logins': 'tooManyLogins',
} as const satisfies Record<string, ReplyName>;

export type LoginFault = keyof typeof FAULTS;

export const LOGIN_FAULTS = Object.keys(FAULTS) as LoginFault[];

interface ScriptedLogin {
  readonly name: string;
  readonly summary: string;
  readonly fault: LoginFault;
}

export const SCRIPTED_LOGINS: readonly ScriptedLogin[] = [
  { name: 'app-password-required', summary: '534 5.7.9', fault: 'app-password-required' },
  { name: 'browser-sign-in', summary: '534 5.7.14', fault: 'web-login' },
  { name: 'too-many-logins', summary: '454 4.7.0', fault: 'too-many-logins' },
];

const BY_NAME = new Map(SCRIPTED_LOGINS.map(({ name, fault }) => [name, fault]));

/** Decides about logins. Both settings may change while the simulator runs, so that an account can break and heal. */
export class Authenticator {
  /** The app password, for XOAUTH2 the access token. */
  secret: string;
  /** How every login fails, whoever tries. */
  fault: LoginFault | null = null;

  constructor(secret: string) {
    this.secret = secret;
  }

  /** The reply that refuses the login; null lets it in. */
  refusal(username: string, secret: string): ReplyName | null {
    const fault = this.fault ?? BY_NAME.get(parseScripted(username)?.name ?? '');
    if (fault) return FAULTS[fault];
    return secret === this.secret ? null : 'badCredentials';
  }
}
