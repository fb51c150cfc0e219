/**
 * Permissions of an API key. `metrics` is for a monitoring system. `admin` includes the others, for
 * the messages of every key.
 */
export const SCOPES = ['send', 'read', 'metrics', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** The API key of a request, with its permissions and limits. */
export interface Caller {
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Addresses and `@domains` that it may send from. Null: any. */
  readonly allowedFrom: readonly string[] | null;
  /** Addresses and `@domains` that it may send to. Null: any. */
  readonly allowedRecipients: readonly string[] | null;
  /** Replaces RATE_LIMIT for this key. Null: RATE_LIMIT applies. */
  readonly rateLimit: { readonly max: number; readonly windowMs: number } | null;
  /** Maximum messages accepted in a rolling 24 h. Null: no limit. */
  readonly dailyLimit: number | null;
  /** Its mail goes to the built-in simulator, never to Gmail. */
  readonly test: boolean;
  /** Receives the events of its messages, in addition to WEBHOOK_URL. */
  readonly webhookUrl: string | null;
}

/** An API key. Only the digest of its secret is kept. */
export interface ApiKey extends Caller {
  /** Secrets that alone sign the calls to its `webhookUrl`. Null: WEBHOOK_SECRET signs them. */
  readonly webhookSecrets: readonly Uint8Array[] | null;
  /** SHA-256 of the secret, 32 bytes. */
  readonly digest: Uint8Array;
}

export function isAdmin({ scopes }: Caller): boolean {
  return scopes.includes('admin');
}

/** Whether a caller has a scope, directly or as an admin. */
export function hasScope(caller: Caller, scope: Scope): boolean {
  return caller.scopes.includes(scope) || isAdmin(caller);
}
