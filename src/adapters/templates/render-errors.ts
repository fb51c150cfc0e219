import { AppError, type FieldError, summarize } from '../../core/errors.ts';

/** JSON Pointer of the template variables in a send request. */
export const VARIABLES = '/template/variables';

/** Maximum number of errors in a response: more would not help. */
const MAX_ERRORS = 100;

/** Creates `template_failed` for all variables together. */
export function templateFailed(code: string, detail: string): AppError {
  return toTemplateFailed([{ pointer: VARIABLES, code, detail }]);
}

export function toTemplateFailed(errors: readonly FieldError[]): AppError {
  return new AppError('template_failed', { detail: summarize(errors), errors });
}

/** Errors of the variables, one for each pointer. */
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
