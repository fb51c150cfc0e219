/** How an account proves who it is. */
export type Credentials =
  | { readonly kind: 'app_password'; readonly password: string }
  | {
      readonly kind: 'refresh_token';
      readonly clientId: string;
      readonly clientSecret: string;
      readonly refreshToken: string;
      /** Where access tokens are to be had. */
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
 * Gives the credentials as they are now: those that stand in a file are read again. Asked at the first login and after each refused one, so that a
 * rotated secret needs no restart. Never throws: while a file cannot be used, what it said last still counts.
 */
export type ReadCredentials = () => Credentials;
