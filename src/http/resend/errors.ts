import { ERRORS, type ErrorCode } from '../../core/errors.ts';
import { type ErrorClient, type ErrorPresenter, presentProblem } from '../errors/error-handler.ts';
import type { Problem } from '../schemas/problem.ts';
import type { ResendError, ResendName } from './schemas.ts';

type CodesOf<Scope> = {
  [Code in ErrorCode]: (typeof ERRORS)[Code]['scope'] extends Scope ? Code : never;
}[ErrorCode];

/**
 * Codes that a request can be refused with. The rest belong to deliveries, and no route here waits
 * for one.
 */
export type RefusalCode = CodesOf<'request'> | 'message_too_large' | 'attachment_blocked';

/** Resend's name for each code, or the name that its clients expect for such a failure. */
const NAMES: Readonly<Record<RefusalCode, ResendName>> = {
  invalid_json: 'validation_error',
  missing_api_key: 'missing_api_key',
  invalid_api_key: 'invalid_api_key',
  insufficient_scope: 'restricted_api_key',
  cross_site_request: 'validation_error',
  // Resend uses it for unverified domains, and for recipients that a trial account may not send to.
  sender_not_allowed: 'validation_error',
  recipient_not_allowed: 'validation_error',
  not_found: 'not_found',
  message_not_found: 'not_found',
  method_not_allowed: 'method_not_allowed',
  request_timeout: 'application_error',
  not_cancelable: 'validation_error',
  not_retryable: 'validation_error',
  not_reconcilable: 'validation_error',
  content_not_kept: 'not_found',
  invalid_ticket: 'restricted_api_key',
  not_reschedulable: 'validation_error',
  idempotency_in_progress: 'concurrent_idempotent_requests',
  idempotency_key_reused: 'invalid_idempotent_request',
  message_too_large: 'validation_error',
  unsupported_media_type: 'validation_error',
  validation_failed: 'validation_error',
  attachment_blocked: 'invalid_attachment',
  template_not_found: 'validation_error',
  template_failed: 'validation_error',
  recipient_suppressed: 'validation_error',
  rate_limited: 'rate_limit_exceeded',
  headers_too_large: 'validation_error',
  internal_error: 'internal_server_error',
  queue_full: 'application_error',
  queue_unavailable: 'application_error',
  shutting_down: 'application_error',
};

/** Statuses that Resend documents for a name, where ours differs. */
const STATUSES: Partial<Record<ResendName, number>> = {
  invalid_idempotency_key: 400,
  restricted_api_key: 401,
  invalid_api_key: 403,
  invalid_idempotent_request: 409,
};

export function nameOf(code: ErrorCode): ResendName {
  return code in NAMES ? NAMES[code as RefusalCode] : 'application_error';
}

export function statusOf(code: ErrorCode, name = nameOf(code)): number {
  return STATUSES[name] ?? ERRORS[code].status;
}

/** Errors of fields have their own names. The first error counts, as in the message. */
function nameOfFields([first]: Problem['errors']): ResendName {
  if (first === undefined) return 'validation_error';
  if (first.pointer === 'header:Idempotency-Key') return 'invalid_idempotency_key';
  if (first.pointer.startsWith('query:')) return 'invalid_parameter';
  if (first.code === 'required') return 'missing_required_field';
  // In a batch the index of the email precedes the field.
  const [, field] = /^(?:\/\d+)?\/(\w+)/.exec(first.pointer) ?? [];
  if (field === 'from') return 'invalid_from_address';
  return field === 'attachments' ? 'invalid_attachment' : 'validation_error';
}

/** Problem and solution in one text, because most clients print nothing else. */
export function toMessage({ detail, hint, errors }: Pick<Problem, 'detail' | 'hint' | 'errors'>): string {
  // Errors of fields already say how to fix them.
  return errors.length > 0 ? detail : `${detail.replace(/([^.!?])$/, '$1.')} ${hint}`;
}

/** Converts a problem into Resend's format, which its SDKs pass on unchanged. */
export function toResendError(problem: Problem): ResendError {
  const { code, hint, retryable, request_id, errors } = problem;
  const name = code === 'validation_failed' ? nameOfFields(errors) : nameOf(code);
  return {
    statusCode: statusOf(code, name),
    name,
    message: toMessage(problem),
    code,
    hint,
    retryable,
    request_id,
    errors,
  };
}

/**
 * Responds in Resend's format to clients that expect it, and with the problem document to all other
 * clients.
 */
export const presentError: ErrorPresenter = (problem, client) => {
  if (!expectsResendErrors(client)) return presentProblem(problem);
  const body = toResendError(problem);
  return { status: body.statusCode, contentType: 'application/json; charset=utf-8', body };
};

/**
 * Whether a client expects Resend's errors: it uses Resend's API, or is one of its SDKs. The SDKs
 * name themselves (`resend-node:6.0.0`, `resend-go/2.0.0`) and also call parts of Resend's API that
 * Outtray does not have.
 */
function expectsResendErrors({ path, userAgent = '' }: ErrorClient): boolean {
  return /^\/+emails(?:[/?]|$)/.test(path) || /^resend-/i.test(userAgent);
}
