import type { IncomingHttpHeaders } from 'node:http';
import { AppError } from '../../core/errors.ts';

/** What a request presents as its API key. */
export interface Credentials {
  readonly secret: string;
  /** The user name of Basic credentials, which must be the name of the key. Null for the other forms. */
  readonly name: string | null;
}

/** Every set of credentials in the headers: one, or two for a request with both headers. */
export type CredentialsList = readonly [Credentials, ...Credentials[]];

/**
 * Reads the credentials from `Authorization` (Bearer, RFC 6750; Basic, RFC 7617) and `X-API-Key`.
 *
 * @throws {AppError} `missing_api_key` without both headers; `invalid_api_key` if one of them is malformed. No text repeats any part of a
 * secret.
 */
export function readCredentials(headers: IncomingHttpHeaders): CredentialsList {
  const { authorization, 'x-api-key': apiKey } = headers;
  const fromApiKey = apiKey === undefined ? [] : [readApiKey(String(apiKey))];
  const [first, ...rest] =
    authorization === undefined ? fromApiKey : [readAuthorization(authorization), ...fromApiKey];
  if (first === undefined)
    throw new AppError('missing_api_key', {
      detail: 'There is no Authorization header and no X-API-Key header.',
    });
  return [first, ...rest];
}

/** Any visible ASCII, which is more than RFC 6750, section 2.1, allows. */
const SECRET = /^[!-~]+$/;
const SCHEME_AND_SECRET = /^(Bearer|Basic)[ \t]+([!-~]+)[ \t]*$/i;

function readAuthorization(header: string): Credentials {
  const [, scheme = '', value = ''] = SCHEME_AND_SECRET.exec(header) ?? [];
  if (scheme === '')
    throw invalid(`The Authorization header must be \`Bearer <secret>\`${describeHeader(header)}`);
  return scheme.toLowerCase() === 'basic' ? readBasic(value) : { secret: value, name: null };
}

function readApiKey(header: string): Credentials {
  if (SECRET.test(header)) return { secret: header, name: null };
  if (header === '') throw invalid('The X-API-Key header is empty.');
  const reason = /^Bearer /i.test(header) ? ', without `Bearer`' : `: ${describeText(header)}`;
  throw invalid(`The X-API-Key header must be the secret alone${reason}.`);
}

function readBasic(base64: string): Credentials {
  const text = /^[\w+/-]+={0,2}$/.test(base64) ? Buffer.from(base64, 'base64').toString('latin1') : '';
  const [, name, secret] = /^([^:]*):([!-~]+)$/.exec(text) ?? [];
  if (name !== undefined && secret !== undefined) return { secret, name };
  const reason = /[\r\n]$/.test(text)
    ? ' There is a line break at the end: encode it with `printf`, not `echo`.'
    : '';
  throw invalid(`Basic credentials must be the base64 of \`name:secret\`, both as in API_KEYS.${reason}`);
}

/** Schemes that clients send. Others are not named: the first word of such a header may be part of a secret. */
const KNOWN_SCHEMES = [
  ...[
    'Bearer',
    'Basic',
    'Digest',
    'DPoP',
    'Hawk',
    'HOBA',
    'JWT',
    'Mutual',
    'Negotiate',
    'NTLM',
    'OAuth',
    'SSWS',
    'vapid',
  ],
  ...[
    'AccessKey',
    'Api-Key',
    'ApiKey',
    'Api-Token',
    'Key',
    'Secret',
    'Token',
    'X-API-Key',
    'AWS4-HMAC-SHA256',
  ],
];

/** What came in place of `Bearer <secret>`, as the end of a sentence. */
function describeHeader(header: string): string {
  if (header === '') return '; it is empty.';
  const [first = '', ...rest] = header.split(/[ \t]+/).filter(Boolean);
  const scheme = KNOWN_SCHEMES.find(
    (known) => known.toLowerCase() === first.replace(/[:=]$/, '').toLowerCase(),
  );
  if (scheme === undefined)
    return rest.length === 0
      ? '; it has no scheme: put `Bearer` before the secret.'
      : '; it has another scheme.';
  if (rest.length === 0) return `; it has the scheme \`${scheme}\` and no secret.`;
  if (/[:=]$/.test(first)) return `; \`${scheme}\` must be followed by a space, not by "${first.at(-1)}".`;
  if (scheme !== 'Bearer' && scheme !== 'Basic') return `; it has the scheme \`${scheme}\`.`;
  return `; after \`${scheme}\`, ${describeText(rest.join(' '))}.`;
}

/** What is wrong with a text that is no {@link SECRET}. */
function describeText(text: string): string {
  if (/[^ -~]/.test(text)) return 'it has characters beyond ASCII, such as curly quotes';
  return /^Bearer /i.test(text) ? 'it has `Bearer` again' : 'it has spaces';
}

/** Forms of a well-formed secret that no key has, and what the client probably did. */
const MISTAKES: readonly (readonly [pattern: RegExp, advice: string])[] = [
  [/^(["'`]).*\1$/, 'It is in quotes: remove them.'],
  [/^<.*>$/, 'It is in angle brackets: send the secret without them.'],
  [
    /^\$|^%\w+%$|\{\{.*\}\}/,
    'It looks like the name of a variable: put the value of the variable in its place.',
  ],
  [
    /^(?:undefined|null|None|nil|NaN|true|false|\[object.*)$/,
    'It looks like an unset variable: check how the client reads the secret.',
  ],
  [/^sha256:/, 'It looks like a digest: send the secret itself.'],
  [
    /^[\w.-]{1,64}:/,
    'It has a colon: if that is `name:secret` as in API_KEYS, send only what follows the colon.',
  ],
];

/**
 * The refusal of well-formed credentials that belong to no key. It depends only on their form, never on the keys: a caller who guesses does
 * not learn whether the name or the secret was wrong.
 */
export function describeUnknown({ secret, name }: Credentials): AppError {
  const [, advice] = MISTAKES.find(([pattern]) => pattern.test(secret)) ?? [];
  if (advice !== undefined) return invalid(`The secret is not the secret of any key. ${advice}`);
  if (name !== null)
    return invalid(
      'No key has this name and this secret: the Basic user name must be the name of the key, the password its secret.',
    );
  return new AppError('invalid_api_key');
}

export function describeDifference(): AppError {
  return invalid('The Authorization and X-API-Key headers have different credentials: send one of the two.');
}

function invalid(detail: string): AppError {
  return new AppError('invalid_api_key', { detail });
}
