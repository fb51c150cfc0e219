import { AppError, type FieldError } from '../../core/errors.ts';
import { withPointerPrefix, withPointers } from '../errors/error-handler.ts';
import { messageDefaults, sendRequest } from '../schemas/send.ts';
import { isRecord } from '../validation/json-values.ts';
import { isAbsent } from '../validation/leniency.ts';
import { validate } from '../validation/validation.ts';

/** The messages of a batch with its defaults. */
export interface MergedMessages {
  /** Each message with the defaults that it does not have itself. */
  readonly messages: readonly unknown[];
  /**
   * Returns the failure of a message with pointers into the body of the batch: into `/defaults` where
   * a default is at fault, else into the message.
   */
  locate(index: number, failure: AppError): AppError;
}

/**
 * Adds to each message the defaults that it does not have itself. The messages share the bytes of
 * attachments in the defaults.
 *
 * @throws {AppError} `validation_failed` or `attachment_blocked`, with pointers into `/defaults`
 */
export function mergeDefaults(defaults: unknown, messages: readonly unknown[]): MergedMessages {
  if (isAbsent(defaults)) return { messages, locate: locateInMessage };
  const { attachments } = validateDefaults(defaults);
  const shared = { ...(defaults as Record<string, unknown>), ...(attachments && { attachments }) };
  return {
    messages: messages.map((message) => (isRecord(message) ? { ...shared, ...message } : message)),
    locate: (index, failure) =>
      withPointers(failure, pathOf(index), (error) => locateError(error, index, shared, messages[index])),
  };
}

function validateDefaults(defaults: unknown) {
  try {
    return validate(messageDefaults, defaults);
  } catch (error) {
    throw error instanceof AppError ? withPointerPrefix('/defaults', error) : error;
  }
}

function locateInMessage(index: number, failure: AppError): AppError {
  return withPointerPrefix(pathOf(index), failure);
}

function pathOf(index: number): string {
  return `/messages/${index}`;
}

/** Fields that a rule compares with the field where it reports an error, and names in its text. */
const COMPARED: Readonly<Record<string, readonly string[]>> = {
  '/to': ['cc', 'bcc'],
  '/html': ['template'],
  '/text': ['template'],
  '/expires_at': ['scheduled_at'],
};

function locateError(
  error: FieldError,
  index: number,
  defaults: Readonly<Record<string, unknown>>,
  message: unknown,
): FieldError {
  const own = isRecord(message) ? message : {};
  const isDefault = (name: string) => !Object.hasOwn(own, name) && (defaults[name] ?? null) !== null;
  const { pointer, detail } = error;
  const name = pointer.split('/', 2)[1] ?? '';
  if (isDefault(name))
    return { ...error, pointer: `/defaults${pointer}`, detail: `${detail} ${advise(name)}` };

  const path = `${pathOf(index)}${pointer}`;
  const compared = COMPARED[pointer]?.find((other) => isDefault(other) && detail.includes(other));
  if (compared === undefined || hasError(message, error)) return { ...error, pointer: path };
  return {
    ...error,
    pointer: `/defaults/${compared}`,
    detail: `Conflicts with ${path}. ${detail} ${advise(compared)}`,
  };
}

/** Whether the message has the error without the defaults too. */
function hasError(message: unknown, { pointer, code }: FieldError): boolean {
  try {
    validate(sendRequest, message);
    return false;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return error.errors.some((own) => own.pointer === pointer && own.code === code);
  }
}

function advise(name: string): string {
  return `The value comes from \`defaults\`: change it there, or set \`${name}\` in the message; \`null\` removes it.`;
}
