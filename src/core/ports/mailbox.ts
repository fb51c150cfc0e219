import type { ErrorCode } from '../errors.ts';

/** Codes of a mailbox that cannot be read. `oauth_…`: there is no access token for the login. */
export const MAILBOX_CODES = [
  'no_mailbox',
  'imap_login_refused',
  'imap_disabled',
  'imap_scope_missing',
  'imap_unavailable',
  'oauth_grant_revoked',
  'oauth_client_unauthorized',
  'oauth_clock_skew',
  'oauth_unreachable',
  'oauth_failed',
] as const satisfies ErrorCode[];
export type MailboxCode = (typeof MAILBOX_CODES)[number];

/** Why the mailbox of an account cannot be read. */
export interface MailboxFault {
  readonly code: MailboxCode;
  readonly detail: string;
  /**
   * Whether the server refused this account: it does not help to try again before the operator has
   * changed something. False: the server could not be reached, or failed.
   */
  readonly isRefusal: boolean;
}

export interface SentQuery {
  /** The Message-ID header with its angle brackets. */
  readonly messageId: string;
  /** When the attempt began, in epoch ms. Its copy was not filed before. */
  readonly since: number;
}

/** Whether Sent Mail has a message. Absence is no proof: a copy may be filed later. */
export type SentResult =
  | { readonly kind: 'found' | 'absent' }
  | { readonly kind: 'failed'; readonly fault: MailboxFault };

/** The mailbox of an account, opened read-only. Nothing in it is marked, moved or deleted. */
export interface Mailbox {
  /**
   * Looks for a message in Sent Mail. Opens a connection if there is none. Never rejects: ends with
   * `failed` if the signal is aborted.
   */
  findSent(query: SentQuery, signal: AbortSignal): Promise<SentResult>;
  /** Ends what is under way and closes the connection. */
  close(): Promise<void>;
}
