/** What a key may do. `admin` includes the others, for the messages of every key. */
export const SCOPES = ['send', 'read', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** Who calls: the API key a request was made with, and what it may do. */
export interface Caller {
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Addresses and `@domains` it may send from and to; null: any. */
  readonly allowedFrom: readonly string[] | null;
  readonly allowedRecipients: readonly string[] | null;
  /** In place of RATE_LIMIT; null: that one. */
  readonly rateLimit: { readonly max: number; readonly windowMs: number } | null;
  /** Messages it may have accepted in a rolling 24 h; null: any number. */
  readonly dailyLimit: number | null;
  /** Its mail goes to the built-in simulator, never to Gmail. */
  readonly test: boolean;
  /** Where the events of its messages go, besides WEBHOOK_URL. */
  readonly webhookUrl: string | null;
}

/** A key of the API. Only the digest of its secret is kept. */
export interface ApiKey extends Caller {
  /** SHA-256 of the secret, 32 bytes. */
  readonly digest: Uint8Array;
}

export function isAdmin({ scopes }: Caller): boolean {
  return scopes.includes('admin');
}

/** Whether a caller may do what takes this scope. */
export function hasScope(caller: Caller, scope: Scope): boolean {
  return caller.scopes.includes(scope) || isAdmin(caller);
}
