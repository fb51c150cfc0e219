import { z } from 'zod';
import { parseOAuthWord, parseTokenUrl } from '../config/oauth-config.ts';
import { defaultOf, parsed } from '../config/setting-schema.ts';
import { InvalidValue } from '../config/value-parsers.ts';
import { LoginError } from './login-error.ts';

/** An OAuth client of type desktop app, and Google's endpoints for it. */
export interface OAuthClient {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly authUrl: string;
  readonly tokenUrl: string;
}

/** https://developers.google.com/identity/protocols/oauth2/native-app */
export const GOOGLE_AUTH_URL = 'https://accounts.google.com/o/oauth2/v2/auth';

const word = z.string().transform(parsed(parseOAuthWord));
const endpoint = z.string().transform(parsed(parseTokenUrl));

const clientFile = z.object({
  installed: z.object({
    client_id: word,
    client_secret: word,
    auth_uri: endpoint.default(GOOGLE_AUTH_URL),
    token_uri: endpoint.optional(),
  }),
});

/**
 * Parses the file of a client, as downloaded from the Google Cloud console.
 *
 * @param tokenUrl overrides the token endpoint in the file
 * @throws {LoginError} if the client is for web applications
 * @throws {InvalidValue} if the file cannot be used
 */
export function parseClientFile(text: string, tokenUrl: string | undefined): OAuthClient {
  const json = parseJson(text);
  if (typeof json === 'object' && json !== null && 'web' in json)
    throw new LoginError('consent_web_client', 'the client in --client-file is for web applications');
  const { data, error } = clientFile.safeParse(json);
  if (error) {
    const fields = [...new Set(error.issues.map(({ path: [, field] }) => field))];
    throw new InvalidValue(
      fields.includes(undefined)
        ? 'It is not the file of an OAuth client of type Desktop app: download it at https://console.cloud.google.com/auth/clients.'
        : `It has no usable ${fields.join(', ')}: download the file again.`,
    );
  }
  const { client_id, client_secret, auth_uri, token_uri } = data.installed;
  return {
    clientId: client_id,
    clientSecret: client_secret,
    authUrl: auth_uri,
    tokenUrl: tokenUrl ?? token_uri ?? defaultOf('GMAIL_OAUTH_TOKEN_URL'),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidValue('It is not valid JSON: use the downloaded file unchanged.');
  }
}
