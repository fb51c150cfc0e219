import { toOneLine, toSentence } from '../../core/delivery/one-line.ts';
import type { MailboxCode, MailboxFault } from '../../core/ports/mailbox.ts';
import {
  describeSystemError,
  explainTlsFailure,
  propertyOf,
  textProperty,
} from '../mail-server/system-error.ts';
import { explainTokenError } from '../mail-server/token-errors.ts';
import { TokenError } from '../mail-server/token-request.ts';

/** A failure that this adapter has found itself. */
export class MailboxError extends Error {
  override readonly name = 'MailboxError';
  readonly fault: MailboxFault;

  constructor(fault: MailboxFault) {
    super(fault.detail);
    this.fault = fault;
  }
}

/** A refused login, with what the adapter knows of it. */
export interface LoginContext {
  /** Scopes of the access token. Null for a password, or if they are unknown. */
  readonly scopes: readonly string[] | null;
  /** Removed from what the server has responded. */
  readonly secrets: readonly string[];
}

/** Gmail's for IMAP and SMTP: https://developers.google.com/workspace/gmail/imap/xoauth2-protocol. */
const IMAP_SCOPE = 'https://mail.google.com/';

/**
 * The server refuses a login only for now. Gmail's texts, and the response codes of RFC 5530; Gmail
 * uses ALERT for both kinds of refusal.
 */
const TEMPORARY_TEXT =
  /too many simultaneous|command or bandwidth limits|temporar(?:y|ily)|try again|system error/i;
const TEMPORARY_CODES = ['UNAVAILABLE', 'INUSE', 'LIMIT', 'OVERQUOTA', 'SERVERBUG', 'THROTTLED'];

/**
 * Gmail's: "IMAP access is disabled for your domain. Please contact your domain administrator …",
 * "Your account is not enabled for IMAP use. Please visit your Gmail settings page …".
 */
const DISABLED_TEXT = /IMAP access is disabled|not enabled for IMAP/i;

/** Returns true if the server refused a login, or offers none that fits the credentials. */
export function isRefusedLogin(error: unknown): boolean {
  return (
    propertyOf(error, 'authenticationFailed') === true ||
    textProperty(error, 'message') === 'Unsupported authentication mechanism'
  );
}

/** Maps the error of a login that {@link isRefusedLogin}. */
export function toLoginFault(error: unknown, { scopes, secrets }: LoginContext): MailboxFault {
  const code = textProperty(error, 'serverResponseCode');
  const text = textProperty(error, 'responseText') || textProperty(error, 'message');
  const detail = toSentence(`The IMAP server refused the login: ${redact(text, secrets)}`);
  const refused = (refusal: MailboxCode) => ({ code: refusal, detail, isRefusal: true });
  if (TEMPORARY_CODES.includes(code) || TEMPORARY_TEXT.test(text))
    return { ...refused('imap_unavailable'), isRefusal: false };
  if (DISABLED_TEXT.test(text)) return refused('imap_disabled');
  return refused(isScopeMissing(error, scopes) ? 'imap_scope_missing' : 'imap_login_refused');
}

/**
 * Gmail's response is the same for a token of another user, and for one without the scope (status
 * 400, with the scope that it requires): the response of the token endpoint distinguishes them. Other
 * servers have a status for it (RFC 7628, 3.2.2).
 */
function isScopeMissing(error: unknown, scopes: readonly string[] | null): boolean {
  const response = propertyOf(error, 'oauthError');
  if (textProperty(response, 'status') === 'insufficient_scope') return true;
  return textProperty(response, 'scope') === IMAP_SCOPE && scopes !== null && !scopes.includes(IMAP_SCOPE);
}

/**
 * Maps any other failure. Total: accepts any thrown value.
 *
 * @param secrets removed from what the server has responded
 */
export function toMailboxFault(error: unknown, secrets: readonly string[] = []): MailboxFault {
  if (error instanceof MailboxError) return error.fault;
  if (error instanceof TokenError) {
    const { error: code, detail, hint } = explainTokenError(error.code, error.message);
    const sentences = hint ? `${toSentence(detail)} ${hint}` : toSentence(detail);
    return { code, detail: sentences, isRefusal: error.code === 'EOAUTH2' };
  }
  return unavailable(describe(error, secrets));
}

/** A failure that may pass without a change by the operator. */
export function unavailable(detail: string): MailboxFault {
  return { code: 'imap_unavailable', detail: toSentence(detail), isRefusal: false };
}

function describe(error: unknown, secrets: readonly string[]): string {
  const { message, systemCodes } = describeSystemError(error);
  const tls = explainTlsFailure(systemCodes);
  if (tls) {
    const fix =
      tls.kind === 'certificate' ? '. Check IMAP_URL, or trust a company CA with NODE_EXTRA_CA_CERTS' : '';
    return `No connection to the IMAP server could be made: ${tls.detail}${fix}`;
  }
  // A tagged refusal, or the reason for which the server closed the connection.
  const response = textProperty(error, 'responseText') || textProperty(error, 'reason');
  if (response) return `The IMAP server reported: ${redact(response, secrets)}`;
  return `The IMAP server could not be used: ${message || 'unknown error'}`;
}

/** Longer runs of these characters can be an encoded login that the server repeats. */
const ENCODED = /[\w+/=.-]{40,}/g;

function redact(text: string, secrets: readonly string[]): string {
  const redacted = secrets
    .filter(Boolean)
    .reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text);
  return toOneLine([redacted.replace(ENCODED, '[redacted]')]);
}
