import { createHash } from 'node:crypto';
import type { ApiKey } from '../core/caller.ts';
import { InvalidValue, splitList } from './values.ts';

const MIN_SECRET_LENGTH = 24;

/** The mend when there is no key. */
export const HOW_TO_SET_API_KEYS = 'It is required. Set it like this: API_KEYS="crm:$(openssl rand -hex 24)"';

/**
 * `name:secret` or `name:sha256:<hex>`, either with `:admin` after it; separated by commas or line ends. Entries are named by their
 * position: where one is malformed, no part of it is sure not to be the secret.
 */
export function parseApiKeys(text: string): ApiKey[] {
  if (text.startsWith('[')) {
    throw new InvalidValue('The JSON form is not supported by this version: write name:secret pairs, separated by commas.');
  }
  const keys = splitList(text).map((entry, i) => parseApiKey(entry, `Key ${i + 1}`));
  if (keys.length === 0) throw new InvalidValue(HOW_TO_SET_API_KEYS);
  refuseTwins(
    keys.map(({ name }) => name),
    'name',
  );
  refuseTwins(
    keys.map(({ digest }) => Buffer.from(digest).toString('hex')),
    'secret',
  );
  return keys;
}

function parseApiKey(entry: string, which: string): ApiKey {
  const [name = '', secret, ...rest] = entry.split(':');
  if (secret === undefined) throw new InvalidValue(`${which} has no colon: write name:secret, such as crm:$(openssl rand -hex 24).`);
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
    throw new InvalidValue(
      `${which} has no usable name: before the first colon put 1 to 64 letters, digits, dots, hyphens or underscores.`,
    );
  }
  const digest = secret === 'sha256' ? parseDigest(rest.shift() ?? '', which) : digestOf(secret, which);
  if (rest.length > 1 || (rest.length === 1 && rest[0] !== 'admin')) {
    throw new InvalidValue(`${which} has something other than :admin after its secret: a secret itself has no colon.`);
  }
  return { name, digest, admin: rest.length === 1 };
}

function parseDigest(hex: string, which: string): Uint8Array {
  if (!/^[0-9a-f]{64}$/i.test(hex))
    throw new InvalidValue(`${which} needs 64 hexadecimal digits after sha256: (printf %s "$secret" | sha256sum).`);
  return Buffer.from(hex, 'hex');
}

function digestOf(secret: string, which: string): Uint8Array {
  // What can stand in an Authorization header (RFC 9110, section 5.5), less white space.
  if (!/^[\x21-\x7e]*$/.test(secret))
    throw new InvalidValue(`${which} has a secret with white space or letters beyond ASCII: make another one.`);
  if (secret.length < MIN_SECRET_LENGTH) {
    throw new InvalidValue(
      `${which} has a secret of fewer than ${MIN_SECRET_LENGTH} characters: make a longer one, such as with openssl rand -hex 24.`,
    );
  }
  return createHash('sha256').update(secret).digest();
}

function refuseTwins(values: readonly string[], what: string): void {
  values.forEach((value, i) => {
    const first = values.indexOf(value);
    if (first < i) throw new InvalidValue(`Keys ${first + 1} and ${i + 1} have the same ${what}: give each its own.`);
  });
}
