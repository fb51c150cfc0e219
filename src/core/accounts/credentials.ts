/** Credentials with which an account logs in. */
export type Credentials =
  | { readonly kind: 'app_password'; readonly password: string }
  | {
      readonly kind: 'refresh_token';
      readonly clientId: string;
      readonly clientSecret: string;
      readonly refreshToken: string;
      /** When the refresh token ends. Absent if it has no fixed end, or the end is unknown. */
      readonly endsAt?: number;
      /** Endpoint that issues access tokens. */
      readonly tokenUrl: string;
    }
  /** A Workspace service account with domain-wide delegation. `privateKey` is PEM. */
  | {
      readonly kind: 'service_account';
      readonly clientEmail: string;
      readonly privateKey: string;
      readonly tokenUrl: string;
    };

/**
 * Returns the current credentials, and reads those in a file again. Called at the first login and
 * after each refused one, so that a rotated secret needs no restart. Never throws: returns the last
 * credentials while a file cannot be used.
 */
export type ReadCredentials = () => Credentials;
