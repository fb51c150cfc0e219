/**
 * Google's authorization endpoint: an account chooser, a consent page, and a page for requests that
 * cannot be granted.
 */
import { findClient, mayRedirectTo } from '../auth/clients.ts';
import { SCOPE } from '../auth/service-account.ts';
import type { TokenIssuer } from '../auth/token-issuer.ts';
import { renderChooser, renderConsent, renderError } from './consent-pages.ts';
import { Html, Redirect, type Route } from './http-server.ts';

export const AUTHORIZATION_PATH = '/o/oauth2/v2/auth';
const ERROR_PATH = '/signin/oauth/error';

interface ConsentContext {
  readonly tokens: TokenIssuer;
}

/** A page of Google that shows an error, and does not return to the client. */
interface PageError {
  readonly name: string;
  readonly text: string;
}

const PAGE_ERRORS = {
  not_a_test_user: {
    name: 'access_denied',
    text: 'Outtray has not completed the Google verification process. The app is currently being tested, and can only be accessed by developer-approved testers.',
  },
  admin_policy_enforced: {
    name: 'admin_policy_enforced',
    text: 'Access to your account data is restricted by policies within your organization.',
  },
  org_internal: {
    name: 'org_internal',
    text: 'This client is restricted to users within its organization.',
  },
} as const satisfies Record<string, PageError>;

export const CONSENT_ROUTES: readonly Route<ConsentContext>[] = [
  {
    method: 'GET',
    path: AUTHORIZATION_PATH,
    summary: 'Google’s consent page, for outtray login',
    handle: ({ tokens }, { query }) => {
      const error = findPageError(query, tokens);
      if (error) return redirectToError(error, query);
      const account = query.get('account') ?? query.get('login_hint');
      if (!account || query.has('choose')) return new Html(renderChooser(query));
      return new Html(renderConsent(query, account));
    },
  },
  {
    method: 'POST',
    path: AUTHORIZATION_PATH,
    summary: 'the form of that page',
    form: true,
    handle: ({ tokens }, { body }) => {
      const query = new URLSearchParams(body as Record<string, string>);
      const error = findPageError(query, tokens);
      return error ? redirectToError(error, query) : redirectToClient(query, tokens);
    },
  },
  {
    method: 'GET',
    path: ERROR_PATH,
    summary: 'the page of a request that cannot be granted',
    handle: (_context, { query }) => {
      const [name = '', text = ''] = decodeError(query.get('authError') ?? '');
      return new Html(renderError(name, text), 400);
    },
  },
];

/** Returns the error of a request for which Google shows a page of its own. */
function findPageError(query: URLSearchParams, { consentFault }: TokenIssuer): PageError | null {
  const client = findClient(query.get('client_id'));
  if (client === null) return { name: 'invalid_client', text: 'The OAuth client was not found.' };
  if (!mayRedirectTo(client, query.get('redirect_uri') ?? ''))
    return {
      name: 'redirect_uri_mismatch',
      text: "You can't sign in to this app because it doesn't comply with Google's OAuth 2.0 policy.",
    };
  if (query.get('response_type') !== 'code' || scopesOf(query).length === 0)
    return { name: 'invalid_request', text: 'Missing required parameter.' };
  if (query.has('code_challenge') && query.get('code_challenge_method') !== 'S256')
    return { name: 'invalid_request', text: 'Unsupported code_challenge_method.' };
  return consentFault !== null && consentFault in PAGE_ERRORS
    ? PAGE_ERRORS[consentFault as keyof typeof PAGE_ERRORS]
    : null;
}

function redirectToError({ name, text }: PageError, query: URLSearchParams): Redirect {
  const parameters = { authError: encodeError(name, text), client_id: query.get('client_id') ?? '' };
  return new Redirect(`${ERROR_PATH}?${new URLSearchParams(parameters)}`);
}

/** Google encodes the name and the text as fields 1 and 2 of a protocol buffer. */
function encodeError(name: string, text: string): string {
  const field = (number: number, value: string) =>
    Buffer.concat([Buffer.from([(number << 3) | 2, Buffer.byteLength(value)]), Buffer.from(value)]);
  return Buffer.concat([field(1, name), field(2, text.slice(0, 127))]).toString('base64');
}

function decodeError(encoded: string): string[] {
  const bytes = Buffer.from(encoded, 'base64');
  const fields: string[] = [];
  for (let at = 0; at + 1 < bytes.length; at += 2 + (bytes[at + 1] ?? 0))
    fields.push(bytes.toString('utf8', at + 2, at + 2 + (bytes[at + 1] ?? 0)));
  return fields;
}

/** Ends the consent as the form does: with a code, or with the user's refusal. */
function redirectToClient(form: URLSearchParams, tokens: TokenIssuer): Redirect {
  const redirectUri = form.get('redirect_uri') ?? '';
  const location = new URL(redirectUri);
  const state = form.get('state');
  if (state !== null) location.searchParams.set('state', state);
  if (form.get('decision') !== 'continue') {
    location.searchParams.set('error', 'access_denied');
    return new Redirect(location.href);
  }
  const scopes = scopesOf(form).filter((scope) => scope !== SCOPE || form.get('mail') === 'granted');
  const code = tokens.codes.issue({
    clientId: form.get('client_id') ?? '',
    redirectUri,
    codeChallenge: form.get('code_challenge'),
    user: (form.get('account') ?? '').trim(),
    scopes,
    offline: form.get('access_type') === 'offline' && form.get('prompt') === 'consent',
  });
  location.searchParams.set('code', code);
  location.searchParams.set('scope', scopes.join(' '));
  return new Redirect(location.href);
}

/** Returns the requested scopes under the names that Google reports them by. */
function scopesOf(query: URLSearchParams): string[] {
  const names: Readonly<Record<string, string>> = { email: 'https://www.googleapis.com/auth/userinfo.email' };
  return (query.get('scope') ?? '')
    .split(' ')
    .filter(Boolean)
    .map((scope) => names[scope] ?? scope);
}
