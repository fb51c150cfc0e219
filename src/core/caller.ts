/** Who calls: the API key a request was made with. An admin sees every message. */
export interface Caller {
  readonly name: string;
  readonly admin: boolean;
}

/** A key of the API. Only the digest of its secret is kept. */
export interface ApiKey extends Caller {
  /** SHA-256 of the secret, 32 bytes. */
  readonly digest: Uint8Array;
}
