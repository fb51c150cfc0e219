import type { IncomingHttpHeaders } from 'node:http';
import { AppError } from '../../core/errors.ts';

/** The API key that a request presents. */
export interface Credentials {
  readonly secret: string;
  /** User name of Basic credentials, which must be the name of the key; null for other schemes. */
  readonly name: string | null;
}

/** All credentials in the headers: one, or two if both headers are present. */
export type CredentialsList = readonly [Credentials, ...Credentials[]];

/**
 * Reads the credentials from `Authorization` (Bearer, RFC 6750; Basic, RFC 7617) and `X-API-Key`.
 *
 * @throws {AppError} `missing_api_key` if neither header is present; `invalid_api_key` if one is
 *   malformed. No error text repeats any part of a secret.
 */
export function readCredentials(headers: IncomingHttpHeaders): CredentialsList {
  const { authorization, 'x-api-key': apiKey } = headers;
  const fromApiKey = apiKey === undefined ? [] : [readApiKey(String(apiKey))];
  const [first, ...rest] =
    authorization === undefined ? fromApiKey : [readAuthorization(authorization), ...fromApiKey];
  if (first === undefined)
    throw new AppError('missing_api_key', {
      detail: 'The request has neither an Authorization nor an X-API-Key header.',
    });
  return [first, ...rest];
}

/** Any visible ASCII: more than RFC 6750, section 2.1, allows. */
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
  throw invalid(`The X-API-Key header must contain only the secret${reason}.`);
}

function readBasic(base64: string): Credentials {
  const text = /^[\w+/-]+={0,2}$/.test(base64) ? Buffer.from(base64, 'base64').toString('latin1') : '';
  const [, name, secret] = /^([^:]*):([!-~]+)$/.exec(text) ?? [];
  if (name !== undefined && secret !== undefined) return { secret, name };
  const reason = /[\r\n]$/.test(text)
    ? ' It ends with a line break: encode it with `printf`, not `echo`.'
    : '';
  throw invalid(`Basic credentials must be \`name:secret\` in base64, both as in API_KEYS.${reason}`);
}

/**
 * Schemes that clients send. Unknown ones are not repeated in errors, because the first word may be
 * part of a secret.
 */
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

/** Describes what a header contains instead of `Bearer <secret>`, as the end of a sentence. */
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

/** Describes why a text does not match {@link SECRET}. */
function describeText(text: string): string {
  if (/[^ -~]/.test(text)) return 'it has non-ASCII characters, such as curly quotes';
  return /^Bearer /i.test(text) ? 'it repeats `Bearer`' : 'it has spaces';
}

/** Well-formed values that no key can have, and the probable mistake. */
const MISTAKES: readonly (readonly [pattern: RegExp, advice: string])[] = [
  [/^(["'`]).*\1$/, 'It is in quotes: remove them.'],
  [/^<.*>$/, 'It is in angle brackets: send the secret without them.'],
  [/^\$|^%\w+%$|\{\{.*\}\}/, 'It looks like the name of a variable: send the value of the variable.'],
  [
    /^(?:undefined|null|None|nil|NaN|true|false|\[object.*)$/,
    'It looks like an unset variable: check how the client reads the secret.',
  ],
  [/^sha256:/, 'It looks like a digest: send the secret itself.'],
  [
    /^[\w.-]{1,64}:/,
    'It has a colon: if it is `name:secret` from API_KEYS, send only the part after the colon.',
  ],
];

/**
 * The error for well-formed credentials that match no key. It depends only on their form, never on
 * the keys, so that guessing does not reveal whether the name or the secret was wrong.
 */
export function unknownCredentials({ secret, name }: Credentials): AppError {
  const [, advice] = MISTAKES.find(([pattern]) => pattern.test(secret)) ?? [];
  if (advice !== undefined) return invalid(`The secret matches no API key. ${advice}`);
  if (name !== null)
    return invalid(
      'No API key has this name and secret: the Basic user name must be the name of the key, the password its secret.',
    );
  return new AppError('invalid_api_key');
}

/** The error for two headers with different secrets. */
export function conflictingCredentials(): AppError {
  return invalid(
    'The Authorization and X-API-Key headers have different credentials: send only one of them.',
  );
}

function invalid(detail: string): AppError {
  return new AppError('invalid_api_key', { detail });
}
