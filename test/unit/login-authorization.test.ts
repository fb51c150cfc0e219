import { describe, expect, test } from 'vitest';
import { createAuthorizationRequest, readCode } from '../../src/login/authorization.ts';
import { LoginError } from '../../src/login/login-error.ts';

const CLIENT = {
  clientId: 'id',
  clientSecret: 'secret',
  authUrl: 'https://accounts.google.com/o/oauth2/auth?hl=en',
  tokenUrl: 'https://oauth2.googleapis.com/token',
};
const REQUEST = createAuthorizationRequest(CLIENT, 'ada@acme.com', 'http://127.0.0.1:1234');
const ERROR_PAGE = 'https://accounts.google.com/signin/oauth/error/v2?client_id=id&flowName=GeneralOAuthFlow';

function errorOf(address: string): LoginError {
  try {
    return expect.unreachable(readCode(new URL(address), REQUEST));
  } catch (error) {
    if (error instanceof LoginError) return error;
    throw error;
  }
}

describe('the response to a request for consent', () => {
  test('contains a code', () => {
    const address = `http://127.0.0.1:1234/?iss=x&state=${REQUEST.state}&code=4/0Ab&scope=y`;
    expect(readCode(new URL(address), REQUEST)).toBe('4/0Ab');
  });

  test.each([
    ['?state=STATE&error=access_denied', 'consent_denied', 'Google reports access_denied'],
    ['?state=STATE&error=admin_policy_enforced', 'consent_admin_policy', 'admin_policy_enforced'],
    ['?state=STATE&error=x%0ay&error_description=z', 'oauth_failed', 'Google reports x y: z'],
    ['?state=STATE&error=constructor', 'oauth_failed', 'Google reports constructor'],
    ['?state=other&error=access_denied', 'consent_state_mismatch', 'another login'],
    ['?code=4/0Ab', 'consent_state_mismatch', 'another login'],
  ])('%s means %s', (query, code, message) => {
    const error = errorOf(`http://127.0.0.1:1234/${query.replace('STATE', REQUEST.state)}`);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
  });

  // The start of authError in addresses of Google's error pages.
  test.each([
    ['ChVyZWRpcmVjdF91cmlfbWlzbWF0Y2gSsAEKWW91', 'consent_web_client', 'redirect_uri_mismatch'],
    ['Cg9pbnZhbGlkX3JlcXVlc3QSxAEKWW91', 'consent_web_client', 'invalid_request'],
    ['Cg5pbnZhbGlkX2NsaWVudBIfVGhl', 'consent_invalid_client', 'invalid_client'],
    ['ChRkaXNhbGxvd2VkX3VzZXJhZ2VudBI', 'oauth_failed', 'disallowed_useragent'],
    ['', 'oauth_failed', 'an error on its page'],
  ])('can be an error page of Google: %s', (authError, code, name) => {
    expect(errorOf(`${ERROR_PAGE}&authError=${authError}`)).toMatchObject({
      code,
      message: `Google reports ${name}`,
    });
  });
});

test('a request keeps the parameters of the endpoint', () => {
  expect(REQUEST.url).toMatch(/^https:\/\/accounts\.google\.com\/o\/oauth2\/auth\?hl=en&client_id=id&/);
});
