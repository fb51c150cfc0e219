import { TokenError } from '../../adapters/smtp/auth/token-request.ts';
import { classify, classifyReply } from '../../adapters/smtp/errors/classify.ts';
import { readFailure } from '../../adapters/smtp/errors/nodemailer-errors.ts';
import type { Fault } from '../../core/delivery/outcome.ts';
import { ERRORS, type ErrorCode } from '../../core/errors.ts';
import type { Finding } from '../report.ts';
import { fixOf, type TroubleshootingId } from '../troubleshooting.ts';
import { Refusal } from './smtp-dialogue.ts';

/** A step that failed: the line for it, and what the service would call it. */
export interface Trouble extends Finding {
  readonly status: 'fail';
  readonly error: ErrorCode;
}

/** Our own code beside those of the system. */
export const NO_STARTTLS = 'NO_STARTTLS';

/** What the system, TLS or a time limit say where the service need not tell one from the other, and the doctor must. */
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

/** What a failed step means, as the service would read it, and what to do about it. Total: takes whatever was thrown. */
export function explain(thrown: unknown): Trouble {
  const { systemCodes, timeoutType } = readFailure(thrown);
  const codes = [...systemCodes, timeoutType];
  const row = BY_SYSTEM_CODE.find(({ match }) => codes.some((code) => match.test(code)));
  const trouble = toTrouble(toFault(thrown));
  return row ? { ...trouble, code: row.id, advice: fixOf(row.id) ?? null } : trouble;
}

/** The line for a fault: where a reply calls for a hint of its own, that hint. */
export function toTrouble({ error: { code, detail, hint } }: Fault): Trouble {
  const advice = hint === ERRORS[code].hint ? (fixOf(code) ?? hint) : hint;
  return { status: 'fail', detail, code, advice, error: code };
}

function toFault(thrown: unknown): Fault {
  if (thrown instanceof Refusal) return classifyReply(thrown.reply, thrown.stage);
  // As nodemailer hands it on.
  const error =
    thrown instanceof TokenError
      ? { code: 'EAUTH', originalCode: thrown.code, message: thrown.message }
      : thrown;
  return classify(error, { sessionReady: false, bodyStarted: false, bodyEnded: false });
}

/** Whether a time limit on connecting ran out: only a comparison tells why. */
export function isSilence(thrown: unknown): boolean {
  const { timeoutType, systemCodes } = readFailure(thrown);
  return timeoutType === 'CONNECT_TIMEOUT' || (timeoutType === '' && systemCodes.includes('ETIMEDOUT'));
}
