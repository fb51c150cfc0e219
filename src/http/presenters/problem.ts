import { ERRORS, type ErrorCode } from '../../core/errors.ts';
import type { Problem } from '../schemas/problem.ts';

/** The parts of a problem that differ between occurrences of the same code. */
type Occurrence = Pick<Problem, 'detail' | 'instance' | 'request_id'> &
  Partial<Pick<Problem, 'errors' | 'hint' | 'smtp' | 'message'>>;

/** A problem document (RFC 9457): a row of ERRORS, completed by the occurrence. */
export function toProblem(code: ErrorCode, occurrence: Occurrence): Problem {
  const { status, title, retryable, hint } = ERRORS[code];
  const { detail, instance, request_id, errors = [], ...rest } = occurrence;
  return {
    type: `/problems/${code}`,
    title,
    status,
    detail,
    instance,
    code,
    retryable,
    request_id,
    errors,
    hint,
    ...rest,
  };
}
