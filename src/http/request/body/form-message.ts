import type { FieldError } from '../../../core/errors.ts';
import { isRecord } from '../../validation/json-values.ts';
import { isAbsent } from '../../validation/leniency.ts';
import { invalidFields } from '../../validation/validation.ts';
import type { FormPart } from './form.ts';

/** An entry of `attachments`, whose content needs no decoding. */
interface File {
  readonly filename: string;
  readonly content: Uint8Array;
  readonly content_type?: string;
  readonly content_id?: string;
}

export interface Form {
  /** The part `message`: JSON. */
  readonly message: Uint8Array<ArrayBuffer>;
  readonly files: readonly File[];
}

const MESSAGE = 'message';
/** Begins the name of the part of an inline image, which `html` refers to by the whole name. */
const INLINE = 'cid:';
const MAX_SHOWN_NAME_LENGTH = 100;

/**
 * Sorts the parts of a form: `message`, and any part with a file name as an attachment.
 *
 * @throws {AppError} `validation_failed` for every other part, with pointers such as `part:message`
 */
export function sortParts(parts: readonly FormPart[]): Form {
  const errors: FieldError[] = [];
  const files: File[] = [];
  let message: Form['message'] | undefined;

  for (const part of parts) {
    const { name, filename } = readDisposition(part.disposition);
    const refuse = (code: string, detail: string) => errors.push({ pointer: pointerTo(name), code, detail });
    if (part.encoding !== '' && !/^(7bit|8bit|binary)$/.test(part.encoding)) {
      refuse('invalid_value', 'Send the bytes as they are, without Content-Transfer-Encoding.');
    } else if (name === MESSAGE) {
      if (message) refuse('conflict', 'There are two parts of this name: send one.');
      message = part.bytes;
    } else if (filename === undefined || name === undefined) {
      refuse('unknown_field', `Must have a file name, as a file, or be the part "${MESSAGE}".`);
    } else if (filename !== '' || part.bytes.length > 0) {
      // Browsers send an empty part without a name for a file input that was left empty.
      files.push(toFile(name, filename, part));
    }
  }
  if (message === undefined && errors.length === 0)
    errors.push({
      pointer: pointerTo(MESSAGE),
      code: 'required',
      detail: 'This part is required: it is the JSON of the message.',
    });
  if (message === undefined || errors.length > 0) throw invalidFields(errors);
  return { message, files };
}

/** Adds the files to the attachments of the message, after those in its JSON. */
export function addFiles(message: unknown, files: readonly File[]): unknown {
  if (!isRecord(message) || files.length === 0) return message;
  const { attachments } = message;
  if (isAbsent(attachments)) return { ...message, attachments: files };
  return Array.isArray(attachments) ? { ...message, attachments: [...attachments, ...files] } : message;
}

function toFile(name: string, filename: string, { type, bytes }: FormPart): File {
  return {
    filename,
    content: bytes,
    // curl sends this for every extension that it does not know. The extension is more precise.
    ...(type !== '' && type !== 'application/octet-stream' && { content_type: type }),
    ...(name.startsWith(INLINE) && { content_id: name.slice(INLINE.length) }),
  };
}

/** Sticky, so that it ends at the first fault and takes linear time. */
const PARAMETER = /\s*;\s*([\w*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/gy;

/**
 * Reads the name and the file name of a part. `filename*` (RFC 8187) takes precedence over
 * `filename`.
 */
function readDisposition(disposition: string) {
  const [type = ''] = disposition.split(';', 1);
  const parameters = disposition.slice(type.length);
  const found: Record<string, string> = {};
  if (type.trim().toLowerCase() === 'form-data') {
    for (const [, name = '', quoted, token = ''] of parameters.matchAll(PARAMETER))
      found[name.toLowerCase()] = quoted?.replace(/\\(["\\])/g, '$1') ?? token;
  }
  return { name: found.name, filename: decodeExtended(found['filename*']) ?? found.filename };
}

function decodeExtended(value = ''): string | undefined {
  const [, encoded] = /^utf-8'[\w-]*'(.+)$/i.exec(value) ?? [];
  try {
    return encoded && decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
}

function pointerTo(name = ''): string {
  return `part:${name.slice(0, MAX_SHOWN_NAME_LENGTH).replace(/[^ -~]/g, '?')}`;
}
