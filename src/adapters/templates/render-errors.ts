import { AppError, type FieldError, summarize } from '../../core/errors.ts';

/** Where the variables of a template are in a request to send. */
export const VARIABLES = '/template/variables';

/** More would help nobody. */
const MAX_ERRORS = 100;

/** `template_failed`, for all of the variables at once. */
export function templateFailed(code: string, detail: string): AppError {
  return toTemplateFailed([{ pointer: VARIABLES, code, detail }]);
}

export function toTemplateFailed(errors: readonly FieldError[]): AppError {
  return new AppError('template_failed', { detail: summarize(errors), errors });
}

/** What is wrong with the variables, each told once. */
export interface VariableErrors {
  readonly all: readonly FieldError[];
  add(error: FieldError): void;
}

export function createVariableErrors(): VariableErrors {
  const byPointer = new Map<string, FieldError>();
  return {
    get all() {
      return [...byPointer.values()];
    },
    add(error) {
      if (byPointer.size < MAX_ERRORS) byPointer.set(error.pointer, error);
    },
  };
}
