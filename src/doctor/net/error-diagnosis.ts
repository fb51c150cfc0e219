import { TokenError } from '../../adapters/mail-server/token-request.ts';
import { classify, classifyReply } from '../../adapters/smtp/errors/classify.ts';
import { parseError } from '../../adapters/smtp/errors/nodemailer-errors.ts';
import type { Fault } from '../../core/delivery/outcome.ts';
import { ERRORS, type ErrorCode } from '../../core/errors.ts';
import type { CheckResult } from '../check.ts';
import { fixOf, type TroubleshootingId } from '../troubleshooting.ts';
import { SmtpReplyError } from './smtp-client.ts';

/** A failed step, and the error code that the service would use for it. */
export interface FailedResult extends CheckResult {
  readonly status: 'fail';
  readonly error: ErrorCode;
}

/** The doctor's own code, beside those of the operating system. */
export const NO_STARTTLS = 'NO_STARTTLS';

/** Causes that the service treats alike, but that need different fixes. */
const BY_SYSTEM_CODE: readonly { readonly match: RegExp; readonly id: TroubleshootingId }[] = [
  { match: /^ECONNREFUSED$/, id: 'connection_refused' },
  { match: /^(?:ENETUNREACH|EHOSTUNREACH|ENETDOWN|EHOSTDOWN|EADDRNOTAVAIL)$/, id: 'unreachable' },
  { match: /^NO_STARTTLS$/, id: 'starttls_missing' },
  { match: /^GREETING_TIMEOUT$/, id: 'no_greeting' },
  { match: /^ERR_SSL_WRONG_VERSION_NUMBER$/, id: 'tls_on_starttls_port' },
  { match: /^CERT_HAS_EXPIRED$/, id: 'certificate_expired' },
  { match: /^CERT_NOT_YET_VALID$/, id: 'clock_wrong' },
  { match: /^(?:ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)$/, id: 'wrong_name' },
  { match: /SELF_SIGNED_CERT|^UNABLE_TO_(?:GET_ISSUER_CERT|VERIFY_LEAF_SIGNATURE)/, id: 'tls_intercepted' },
];

/**
 * Classifies the error of a failed step as the service would, and adds the fix. Total: accepts
 * whatever was thrown.
 */
export function diagnoseError(thrown: unknown): FailedResult {
  const { systemCodes, timeoutType } = parseError(thrown);
  const codes = [...systemCodes, timeoutType];
  const row = BY_SYSTEM_CODE.find(({ match }) => codes.some((code) => match.test(code)));
  const result = diagnoseFault(toFault(thrown));
  return row ? { ...result, code: row.id, advice: fixOf(row.id) ?? null } : result;
}

/**
 * Turns a fault into a failed result. A hint that is specific to the reply takes precedence over
 * the general fix.
 */
export function diagnoseFault({ error: { code, detail, hint } }: Fault): FailedResult {
  const advice = hint === ERRORS[code].hint ? (fixOf(code) ?? hint) : hint;
  return { status: 'fail', detail, code, advice, error: code };
}

function toFault(thrown: unknown): Fault {
  if (thrown instanceof SmtpReplyError) return classifyReply(thrown.reply, thrown.stage);
  // In the form in which nodemailer rejects.
  const error =
    thrown instanceof TokenError
      ? { code: 'EAUTH', originalCode: thrown.code, message: thrown.message }
      : thrown;
  return classify(error, { sessionReady: false, bodyStarted: false, bodyEnded: false });
}

/** Returns true if connecting timed out: only a comparison with another port shows why. */
export function isConnectTimeout(thrown: unknown): boolean {
  const { timeoutType, systemCodes } = parseError(thrown);
  return timeoutType === 'CONNECT_TIMEOUT' || (timeoutType === '' && systemCodes.includes('ETIMEDOUT'));
}
