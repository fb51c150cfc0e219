/** The OAuth clients of the simulated Google Cloud project. */
import { createRefusal } from './token-refusals.ts';

export interface OAuthClient {
  readonly id: string;
  readonly secret: string;
  /** Registered addresses of a web client. A desktop client may use any loopback address. */
  readonly redirectUris: readonly string[] | 'loopback';
}

export const DESKTOP_CLIENT: OAuthClient = {
  id: '1234567890-simulator.apps.googleusercontent.com',
  secret: 'GOCSPX-simulator-client-secret',
  redirectUris: 'loopback',
};

export const WEB_CLIENT: OAuthClient = {
  id: '1234567890-simulator-web.apps.googleusercontent.com',
  secret: 'GOCSPX-simulator-web-client-secret',
  redirectUris: ['https://app.simulator.test/callback'],
};

export function findClient(id: unknown): OAuthClient | null {
  return [DESKTOP_CLIENT, WEB_CLIENT].find((client) => client.id === id) ?? null;
}

/**
 * Checks the credentials of a client in a token request.
 *
 * @throws {TokenRefusal} with Google's response
 */
export function authenticateClient({
  client_id,
  client_secret,
}: Readonly<Record<string, unknown>>): OAuthClient {
  const client = findClient(client_id);
  if (client === null) throw createRefusal(401, 'invalid_client', 'The OAuth client was not found.');
  if (client_secret !== client.secret) throw createRefusal(401, 'invalid_client', 'Unauthorized');
  return client;
}

export function mayRedirectTo({ redirectUris }: OAuthClient, uri: string): boolean {
  if (redirectUris !== 'loopback') return redirectUris.includes(uri);
  const url = URL.parse(uri);
  return url?.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
}
