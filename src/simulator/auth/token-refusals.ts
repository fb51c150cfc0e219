/**
 * Error responses of Google's token endpoint
 * (https://developers.google.com/identity/protocols/oauth2/service-account#error-codes).
 */

export const TOKEN_FAULTS = ['invalid_grant', 'unauthorized_client', 'clock_skew', 'unavailable'] as const;
export type TokenFault = (typeof TOKEN_FAULTS)[number];

/** A refused token request, with the status and body of the response. */
export class TokenRefusal extends Error {
  readonly status: number;
  readonly body: unknown;

  constructor(status: number, message: string, body: unknown) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** The refusal for each fault, in Google's words. */
export const TOKEN_REFUSALS: Readonly<Record<TokenFault, () => TokenRefusal>> = {
  invalid_grant: () => createRefusal(400, 'invalid_grant', 'Token has been expired or revoked.'),
  unauthorized_client: () =>
    createRefusal(
      401,
      'unauthorized_client',
      'Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.',
    ),
  clock_skew: () =>
    createRefusal(
      400,
      'invalid_grant',
      'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.',
    ),
  unavailable: () => {
    const error = 'The service is currently unavailable.';
    return new TokenRefusal(503, error, { error });
  },
};

export function createRefusal(status: number, error: string, description: string): TokenRefusal {
  return new TokenRefusal(status, description, { error, error_description: description });
}
