/** The simulated service account, and the check of the assertions that it signs (RFC 7523). */
import { generateKeyPairSync, verify } from 'node:crypto';
import { z } from 'zod';
import { createRefusal, TOKEN_REFUSALS } from './token-refusals.ts';

export const SCOPE = 'https://mail.google.com/';
const SERVICE_ACCOUNT = 'outtray@simulator-project.iam.gserviceaccount.com';
/** The id that an administrator delegates to. */
const SERVICE_ACCOUNT_CLIENT_ID = '104200000000000000001';
/** Maximum lifetime of an assertion, and tolerance for its clock, in seconds. */
const MAX_LIFETIME_S = 3600;
const CLOCK_SKEW_S = 300;

/** One key pair per process, generated when first needed because that is slow. */
let cachedKeys: { readonly publicKey: string; readonly privateKey: string } | undefined;

/** Also signs ID tokens. */
export function keyPair() {
  cachedKeys ??= generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return cachedKeys;
}

/** The JSON key of the service account, as GMAIL_SERVICE_ACCOUNT expects it. */
export function serviceAccountKey(tokenUrl: string): string {
  return JSON.stringify({
    type: 'service_account',
    client_email: SERVICE_ACCOUNT,
    client_id: SERVICE_ACCOUNT_CLIENT_ID,
    private_key: keyPair().privateKey,
    token_uri: tokenUrl,
  });
}

const claimsSchema = z.object({
  iss: z.string(),
  scope: z.string(),
  sub: z.string(),
  aud: z.string(),
  iat: z.number(),
  exp: z.number(),
});

/**
 * Checks an assertion as Google does.
 *
 * @param url of the token endpoint, which must be the audience
 * @returns the user that the assertion acts for
 * @throws {TokenRefusal} with Google's response
 */
export function userOfAssertion(assertion: string, url: string): string {
  const [header = '', payload = '', signature = ''] = assertion.split('.');
  const { success, data } = claimsSchema.safeParse(parseBase64Json(payload));
  if (!success) throw createRefusal(400, 'invalid_grant', 'Invalid JWT: the claims cannot be read.');
  const { iss, scope, sub, aud, iat, exp } = data;
  if (iss !== SERVICE_ACCOUNT) throw createRefusal(400, 'invalid_grant', 'Invalid grant: account not found');
  const isSigned = verify(
    'RSA-SHA256',
    Buffer.from(`${header}.${payload}`),
    keyPair().publicKey,
    Buffer.from(signature, 'base64url'),
  );
  if (!isSigned) throw createRefusal(400, 'invalid_grant', 'Invalid JWT Signature.');
  if (aud !== url) throw createRefusal(400, 'invalid_grant', 'Invalid JWT: Failed audience check.');
  const now = Date.now() / 1000;
  if (iat > now + CLOCK_SKEW_S || exp < now - CLOCK_SKEW_S || exp - iat > MAX_LIFETIME_S)
    throw TOKEN_REFUSALS.clock_skew();
  if (scope !== SCOPE || /@(?:gmail|googlemail)\.com$/i.test(sub)) throw TOKEN_REFUSALS.unauthorized_client();
  return sub;
}

function parseBase64Json(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return null;
  }
}
