import { ERRORS } from '../../core/errors.ts';
import {
  type DocumentedResponse,
  type DocumentedResponses,
  errorHeaders,
  RATE_LIMIT_HEADERS,
  withHeaders,
} from '../schemas/responses.ts';
import { nameOf, type RefusalCode, statusOf } from './errors.ts';
import { resendError } from './schemas.ts';

/** Documents the responses of a route of Resend's API: errors have Resend's shape and status. */
export function resendResponses(
  successes: Readonly<Record<number, DocumentedResponse>>,
  codes: readonly RefusalCode[],
): DocumentedResponses {
  const errors = codes.map((code) => ({ code, name: nameOf(code) }));
  // An invalid Idempotency-Key has a name, and so a status, different from other invalid fields.
  if (codes.includes('idempotency_key_reused'))
    errors.push({ code: 'validation_failed', name: 'invalid_idempotency_key' });
  const byStatus = Map.groupBy(errors, ({ code, name }) => statusOf(code, name));
  return {
    ...withHeaders(successes, RATE_LIMIT_HEADERS),
    ...Object.fromEntries(
      [...byStatus].map(([status, group]) => [
        status,
        {
          description: group
            .map(({ code, name }) => `\`${name}\`, \`${code}\`: ${ERRORS[code].title}.`)
            .join('\n\n'),
          headers: errorHeaders(status, RATE_LIMIT_HEADERS),
          content: { 'application/json': { schema: resendError } },
          codes: group.map(({ code }) => code),
        },
      ]),
    ),
  };
}
