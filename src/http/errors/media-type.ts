import type { IncomingHttpHeaders } from 'node:http';
import { AppError } from '../../core/errors.ts';
import { quote } from '../validation/validation.ts';

/** Whether a body is compressed or encoded in another way. Such bodies are never decoded. */
export function isEncoded({ 'content-encoding': encoding = '' }: IncomingHttpHeaders): boolean {
  return encoding !== '' && encoding.toLowerCase() !== 'identity';
}

/**
 * The error for a body that is not uncompressed JSON. Its text names the actual type, and how to
 * send JSON with the client that was probably used.
 */
export function unsupportedMediaType(headers: IncomingHttpHeaders): AppError {
  return new AppError('unsupported_media_type', { detail: describe(headers) });
}

function describe(headers: IncomingHttpHeaders): string {
  const { 'content-type': type = '', 'content-encoding': encoding = '' } = headers;
  if (isEncoded(headers))
    return `The Content-Encoding is ${quote(encoding)}; only uncompressed JSON is accepted.`;
  if (type === '') return 'The Content-Type header is missing; it must be `application/json`.';
  const advice = ADVICE.find(([start]) => type.toLowerCase().startsWith(start))?.[1] ?? '';
  return `The Content-Type is ${quote(type)}; only \`application/json\` is accepted.${advice}`;
}

const ADVICE: readonly (readonly [start: string, advice: string])[] = [
  [
    'application/x-www-form-urlencoded',
    " With curl, add `-H 'Content-Type: application/json'` or use `--json` instead of `-d`.",
  ],
  ['multipart/form-data', ' Send files as base64 in `attachments`.'],
];
