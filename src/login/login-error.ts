import { toOneLine } from '../core/delivery/one-line.ts';
import { fixOf, type TroubleshootingId } from '../doctor/troubleshooting.ts';

/** Why no login was obtained. The message is one line without a secret. */
export class LoginError extends Error {
  override readonly name = 'LoginError';
  readonly code: TroubleshootingId;
  /** How to fix it. */
  readonly advice: string;

  constructor(code: TroubleshootingId, message: string) {
    super(toOneLine([message]));
    this.code = code;
    this.advice = fixOf(code) ?? '';
  }
}

/** The errors of Google's authorization and token endpoints, by their names. */
const GOOGLE_ERRORS: Readonly<Record<string, TroubleshootingId>> = {
  access_denied: 'consent_denied',
  admin_policy_enforced: 'consent_admin_policy',
  org_internal: 'consent_internal_app',
  redirect_uri_mismatch: 'consent_web_client',
  // Clients of the types for phones may not use the loopback address.
  invalid_request: 'consent_web_client',
  invalid_client: 'consent_invalid_client',
  deleted_client: 'consent_invalid_client',
  unauthorized_client: 'consent_invalid_client',
  invalid_grant: 'consent_code_refused',
};
const MAX_TEXT = 300;

/** @param detail text of Google, if there is any */
export function toLoginError(name: string, detail = ''): LoginError {
  const code = Object.hasOwn(GOOGLE_ERRORS, name) ? GOOGLE_ERRORS[name] : undefined;
  const text = detail === '' ? name : `${name}: ${detail}`;
  return new LoginError(code ?? 'oauth_failed', `Google reports ${text.slice(0, MAX_TEXT)}`);
}
