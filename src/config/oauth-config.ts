import { createPrivateKey } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { z } from 'zod';
import { InvalidValue, parseEmailSetting } from './values.ts';

/** What of a service account's JSON key is needed to get access tokens. */
export interface ServiceAccountKey {
  readonly clientEmail: string;
  /** PEM, RSA. */
  readonly privateKey: string;
  /** Where the key says that tokens are to be had. */
  readonly tokenUri: string | null;
}

const key = z.object({
  type: z.literal('service_account'),
  client_email: z.string(),
  private_key: z.string(),
  token_uri: z.string().optional(),
});

/** The JSON text that the Google Cloud console gives for a service account. Fields that are not needed are left alone. */
export function parseServiceAccount(text: string): ServiceAccountKey {
  const { data, error } = key.safeParse(parseJson(text));
  if (error) {
    const missing = [...new Set(error.issues.map(({ path }) => path[0]))];
    throw new InvalidValue(
      missing.includes('type') || missing.includes(undefined)
        ? 'It is not the key of a service account, whose type is service_account: in the Google Cloud console choose the service account, Keys, Add key, JSON.'
        : `The key has no usable ${missing.join(', ')}: download it again.`,
    );
  }
  return {
    clientEmail: parseEmailSetting(
      data.client_email,
      () => 'The client_email of the key is not an address: download the key again.',
    ),
    privateKey: parsePrivateKey(data.private_key),
    tokenUri: data.token_uri === undefined ? null : parseTokenUri(data.token_uri),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidValue(
      'It is not valid JSON: it must be the whole text of the key file, in single quotes if it stands in a shell or an .env file. To give its path instead, put _FILE after the name of the setting.',
    );
  }
}

function parsePrivateKey(pem: string): string {
  try {
    if (createPrivateKey({ key: pem, format: 'pem' }).asymmetricKeyType === 'rsa') return pem;
  } catch {
    // Said below, without what OpenSSL says, which helps nobody.
  }
  throw new InvalidValue(
    'The private_key of the key is not an RSA key in PEM: use the file as it was downloaded, with its \\n as they are.',
  );
}

function parseTokenUri(text: string): string {
  try {
    return parseTokenUrl(text);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new InvalidValue(`The token_uri of the key cannot be used. ${error.message}`);
  }
}

/** Where access tokens are to be had. In the clear only on this machine: what is sent there is as good as a password. */
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

/** A client id, client secret or refresh token: Google promises nothing about them, but they go into a form and are ASCII. */
export function parseOAuthWord(text: string): string {
  if (!/^[\x21-\x7e]+$/.test(text))
    throw new InvalidValue(
      'It has white space or letters beyond ASCII: copy it again, without what stands around it.',
    );
  return text;
}
