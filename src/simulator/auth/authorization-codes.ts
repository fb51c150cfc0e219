/** The authorization codes of Google's consent page, bound to a client by PKCE (RFC 7636). */
import { createHash, randomBytes } from 'node:crypto';
import type { OAuthClient } from './clients.ts';
import { createRefusal } from './token-refusals.ts';

/** What a user granted on the consent page. */
export interface Consent {
  readonly clientId: string;
  readonly redirectUri: string;
  /** S256 of the verifier that the token request must contain; null without PKCE. */
  readonly codeChallenge: string | null;
  readonly user: string;
  readonly scopes: readonly string[];
  /** Whether a refresh token was requested. */
  readonly offline: boolean;
}

const LIFETIME_MS = 10 * 60_000;

export class AuthorizationCodes {
  readonly #consents = new Map<string, { readonly consent: Consent; readonly endsAt: number }>();

  issue(consent: Consent): string {
    const code = `4/0A${randomBytes(32).toString('base64url')}`;
    this.#consents.set(code, { consent, endsAt: performance.now() + LIFETIME_MS });
    return code;
  }

  /**
   * Returns the consent of a code, once.
   *
   * @throws {TokenRefusal} with Google's response
   */
  redeem(form: Readonly<Record<string, unknown>>, client: OAuthClient): Consent {
    const code = String(form.code);
    const issued = this.#consents.get(code);
    this.#consents.delete(code);
    if (!issued || performance.now() > issued.endsAt || issued.consent.clientId !== client.id)
      throw createRefusal(400, 'invalid_grant', 'Bad Request');
    const { consent } = issued;
    if (form.redirect_uri !== consent.redirectUri)
      throw createRefusal(400, 'redirect_uri_mismatch', 'Bad Request');
    if (consent.codeChallenge !== null) checkVerifier(form.code_verifier, consent.codeChallenge);
    return consent;
  }
}

function checkVerifier(verifier: unknown, challenge: string): void {
  if (typeof verifier !== 'string') throw createRefusal(400, 'invalid_grant', 'Missing code verifier.');
  if (createHash('sha256').update(verifier).digest('base64url') !== challenge)
    throw createRefusal(400, 'invalid_grant', 'Invalid code verifier.');
}
