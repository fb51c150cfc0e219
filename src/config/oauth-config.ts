import { createPrivateKey } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { z } from 'zod';
import { InvalidValue, parseEmailSetting } from './value-parsers.ts';

/** The fields of a service account's JSON key that are needed to log in. */
export interface ServiceAccountKey {
  readonly clientEmail: string;
  /** The id that an administrator delegates to; null if the key does not name it. */
  readonly clientId: string | null;
  /** An RSA key in PEM. */
  readonly privateKey: string;
  /** The token endpoint that the key names. */
  readonly tokenUri: string | null;
}

const key = z.object({
  type: z.literal('service_account'),
  client_email: z.string(),
  client_id: z.string().optional(),
  private_key: z.string(),
  token_uri: z.string().optional(),
});

/**
 * Parses the JSON key of a service account from the Google Cloud console. Ignores unused fields.
 */
export function parseServiceAccount(text: string): ServiceAccountKey {
  const { data, error } = key.safeParse(parseJson(text));
  if (error) {
    const missing = [...new Set(error.issues.map(({ path }) => path[0]))];
    throw new InvalidValue(
      missing.includes('type') || missing.includes(undefined)
        ? 'It is not the key of a service account, whose type is service_account: create one in the Google Cloud console, under the service account, Keys, Add key, JSON.'
        : `The key has no usable ${missing.join(', ')}: download it again.`,
    );
  }
  return {
    clientEmail: parseEmailSetting(
      data.client_email,
      () => 'The client_email of the key is not an address: download the key again.',
    ),
    clientId: data.client_id ?? null,
    privateKey: parsePrivateKey(data.private_key),
    tokenUri: data.token_uri === undefined ? null : parseTokenUri(data.token_uri),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidValue(
      'It is not valid JSON: it must be the whole text of the key file, in single quotes in a shell or a .env file. To set its path instead, append _FILE to the name of the setting.',
    );
  }
}

function parsePrivateKey(pem: string): string {
  try {
    if (createPrivateKey({ key: pem, format: 'pem' }).asymmetricKeyType === 'rsa') return pem;
  } catch {
    // Reported below, without the message of OpenSSL, which does not help.
  }
  throw new InvalidValue(
    'The private_key of the key is not an RSA key in PEM: use the downloaded file unchanged, including its \\n sequences.',
  );
}

/** Parses the token_uri of a file from Google. */
export function parseTokenUri(text: string): string {
  try {
    return parseTokenUrl(text);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new InvalidValue(`The token_uri of the key cannot be used. ${error.message}`);
  }
}

/** Parses a token endpoint. Only on this machine may it be unencrypted: it receives credentials. */
export function parseTokenUrl(text: string): string {
  const url = URL.parse(text);
  const encrypted = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  if (!encrypted)
    throw new InvalidValue(
      'It must be a URL that starts with https://, or with http:// and a loopback address such as 127.0.0.1.',
    );
  if (url.username !== '' || url.password !== '')
    throw new InvalidValue('It has credentials: remove them from the URL.');
  return url.href;
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'))
  );
}

/**
 * Parses a client id, client secret or refresh token. Google specifies no format, but they are
 * ASCII without white space.
 */
export function parseOAuthWord(text: string): string {
  if (!/^[\x21-\x7e]+$/.test(text))
    throw new InvalidValue(
      'It has white space or non-ASCII characters: copy it again, without the text around it.',
    );
  return text;
}
