/** What goes wrong with IMAP on purpose. */

/** What Gmail responds to a login that it refuses: untagged lines, and the text after NO. */
const LOGIN_REFUSALS = {
  'bad-credentials': ['[AUTHENTICATIONFAILED] Invalid credentials (Failure)'],
  'app-password-required': [
    '[ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)',
  ],
  'web-login': [
    '[WEBALERT https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKg] Web login required.',
    '[ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 (Failure)',
  ],
  'imap-off': [
    '[ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your account for IMAP access. (Failure)',
  ],
  'imap-off-by-admin': [
    '[ALERT] IMAP access is disabled for your domain. Please contact your domain administrator for questions about this feature. (Failure)',
  ],
  'too-many-connections': ['[ALERT] Too many simultaneous connections. (Failure)'],
  'bandwidth-limit': ['[ALERT] Account exceeded command or bandwidth limits. (Failure)'],
  'system-error': ['[UNAVAILABLE] Temporary System Error (Failure)'],
} as const;

export type ImapLoginFault = keyof typeof LOGIN_REFUSALS;

export const IMAP_LOGIN_FAULTS = Object.keys(LOGIN_REFUSALS) as ImapLoginFault[];

export function loginRefusal(fault: ImapLoginFault): readonly string[] {
  return LOGIN_REFUSALS[fault];
}

/** A fault of the replies to one command, or to all commands and the greeting. */
export type ImapFault = { readonly command?: string | undefined } & (
  | { readonly kind: 'slow'; readonly ms: number }
  /** Bytes that are not IMAP in place of the reply. */
  | { readonly kind: 'garbage' }
  /** Closes the connection after this number of bytes of the connection, or of the command's reply. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Responds NO with this text. */
  | { readonly kind: 'refuse'; readonly text: string }
);

export class ImapFaults {
  /** Applies to every connection, also to open ones. */
  current: ImapFault | null = null;
  #login: ImapLoginFault | null = null;
  #remainingLogins = 0;

  setLoginFault(fault: ImapLoginFault | null, times: number): void {
    this.#login = fault;
    this.#remainingLogins = times;
  }

  nextLoginFault(): ImapLoginFault | null {
    if (this.#remainingLogins <= 0) return null;
    this.#remainingLogins -= 1;
    return this.#login;
  }

  /** Returns the fault for this command, or for `GREETING`. */
  of(command: string): ImapFault | null {
    const { current } = this;
    return current && (current.command ?? command) === command ? current : null;
  }
}
