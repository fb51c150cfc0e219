import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { AppError } from '../../core/errors.ts';
import { quote } from '../validation/validation.ts';

/** The media type of forms, which only some routes accept. */
export const FORM = 'multipart/form-data';

/** Whether a body is compressed or encoded in another way. Such bodies are never decoded. */
export function isEncoded({ 'content-encoding': encoding = '' }: IncomingHttpHeaders): boolean {
  return encoding !== '' && encoding.toLowerCase() !== 'identity';
}

/** Whether the route accepts forms besides JSON. */
export function acceptsForms({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.schema?.consumes?.includes(FORM) ?? false;
}

/**
 * The error for a body of a type or an encoding that the route does not accept. Its text names the
 * actual type, the accepted types, and how to send JSON with the client that was probably used.
 */
export function unsupportedMediaType(request: FastifyRequest): AppError {
  return new AppError('unsupported_media_type', { detail: describe(request) });
}

function describe(request: FastifyRequest): string {
  const { 'content-type': type = '', 'content-encoding': encoding = '' } = request.headers;
  const forms = acceptsForms(request);
  if (isEncoded(request.headers))
    return `The Content-Encoding is ${quote(encoding)}; only uncompressed ${forms ? 'JSON or an uncompressed form' : 'JSON'} is accepted.`;
  const accepted = forms ? `\`application/json\` or \`${FORM}\`` : '`application/json`';
  if (type === '') return `The Content-Type header is missing; it must be ${accepted}.`;
  const advice = ADVICE.find(([start]) => type.toLowerCase().startsWith(start))?.[1] ?? '';
  return `The Content-Type is ${quote(type)}; only ${accepted} is accepted.${advice}`;
}

const ADVICE: readonly (readonly [start: string, advice: string])[] = [
  [
    'application/x-www-form-urlencoded',
    " With curl, add `-H 'Content-Type: application/json'` or use `--json` instead of `-d`.",
  ],
  [FORM, ' Send files as base64 in `attachments`.'],
];
