import { createHash } from 'node:crypto';
import type { ApiKey } from '../core/auth/caller.ts';
import { InvalidValue } from './value-parsers.ts';

const MIN_SECRET_LENGTH = 24;

/** The permissions and limits of a key that sets only a name and a secret. */
export const UNRESTRICTED = {
  allowedFrom: null,
  allowedRecipients: null,
  rateLimit: null,
  dailyLimit: null,
  test: false,
  webhookUrl: null,
  webhookSecrets: null,
} as const satisfies Partial<ApiKey>;

export const DEFAULT_SCOPES: ApiKey['scopes'] = ['send', 'read'];

export const KEY_NAME = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * Returns the digest of a secret, which is given itself or as `sha256:<hex>`.
 *
 * @throws {InvalidValue}
 */
export function parseSecret(text: string): Uint8Array {
  return text.startsWith('sha256:') ? parseDigest(text.slice('sha256:'.length)) : digestOf(text);
}

function parseDigest(hex: string): Uint8Array {
  if (!/^[0-9a-f]{64}$/i.test(hex)) {
    throw new InvalidValue(
      'The secret needs 64 hexadecimal digits after sha256: (printf %s "$secret" | sha256sum).',
    );
  }
  return Buffer.from(hex, 'hex');
}

function digestOf(secret: string): Uint8Array {
  // The characters of an Authorization header (RFC 9110, section 5.5), without white space.
  if (!/^[\x21-\x7e]*$/.test(secret)) {
    throw new InvalidValue('The secret has white space or non-ASCII characters: generate another one.');
  }
  if (secret.length < MIN_SECRET_LENGTH) {
    throw new InvalidValue(
      `The secret has fewer than ${MIN_SECRET_LENGTH} characters: generate a longer one, for example with openssl rand -hex 24.`,
    );
  }
  return createHash('sha256').update(secret).digest();
}
