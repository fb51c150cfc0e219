import type { FastifyRequest } from 'fastify';
import { ERRORS, type ErrorCode } from '../../core/errors.ts';
import type { Problem } from '../schemas/problem.ts';
import type { ResendError, ResendName } from './schemas.ts';

type CodesOf<Scope> = {
  [Code in ErrorCode]: (typeof ERRORS)[Code]['scope'] extends Scope ? Code : never;
}[ErrorCode];

/** What a request can be refused with. The other codes are of deliveries, and no answer here waits for one. */
export type RefusalCode = CodesOf<'request'> | 'message_too_large' | 'attachment_blocked';

/** What Resend calls it. Where it has no name for it, the one that its callers expect of such a failure. */
const NAMES: Readonly<Record<RefusalCode, ResendName>> = {
  invalid_json: 'validation_error',
  missing_api_key: 'missing_api_key',
  invalid_api_key: 'invalid_api_key',
  insufficient_scope: 'restricted_api_key',
  // As for a domain that is not verified there, and a recipient that an account on trial may not write to.
  sender_not_allowed: 'validation_error',
  recipient_not_allowed: 'validation_error',
  not_found: 'not_found',
  message_not_found: 'not_found',
  method_not_allowed: 'method_not_allowed',
  request_timeout: 'application_error',
  not_cancelable: 'validation_error',
  not_retryable: 'validation_error',
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

/** The statuses that Resend documents for a name, where ours is another. */
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

/** What is wrong with a field has names of its own. The first error counts, as it does in the message. */
function nameOfFields([first]: Problem['errors']): ResendName {
  if (first === undefined) return 'validation_error';
  if (first.pointer === 'header:Idempotency-Key') return 'invalid_idempotency_key';
  if (first.pointer.startsWith('query:')) return 'invalid_parameter';
  if (first.code === 'required') return 'missing_required_field';
  // In a batch the place of the email stands before the field.
  const [, field] = /^(?:\/\d+)?\/(\w+)/.exec(first.pointer) ?? [];
  if (field === 'from') return 'invalid_from_address';
  return field === 'attachments' ? 'invalid_attachment' : 'validation_error';
}

/** What is wrong and how to mend it, in one text: all that most callers print. */
export function toMessage({ detail, hint, errors }: Pick<Problem, 'detail' | 'hint' | 'errors'>): string {
  // Errors in fields say by themselves what mends them.
  return errors.length > 0 ? detail : `${detail.replace(/([^.!?])$/, '$1.')} ${hint}`;
}

/** A problem in the shape of Resend's errors, which its SDKs hand to their callers as it is. */
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
 * Whether the client of a request reads Resend's errors: the request is for Resend's API, or comes from one of Resend's SDKs. These name
 * themselves (`resend-node:6.0.0`, `resend-go/2.0.0`), and also call parts of the API that Outtray does not have.
 */
export function speaksResend({ url, headers, routeOptions }: FastifyRequest): boolean {
  return isResendPath(routeOptions.url ?? url) || /^resend-/i.test(headers['user-agent'] ?? '');
}

/** Whether a request target is a part of Resend's API. */
export function isResendPath(target: string): boolean {
  return /^\/+emails(?:[/?]|$)/.test(target);
}
