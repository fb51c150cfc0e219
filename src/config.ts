import type { Address } from './core/message.ts';

/** A key of the API. Only the digest of its secret is kept. */
export interface ApiKey {
  readonly name: string;
  /** SHA-256 of the secret, 32 bytes. */
  readonly digest: Uint8Array;
  readonly admin: boolean;
}

/** One server of SMTP_URL. `starttls` and `implicit` are both encrypted, always; `never` sends in the clear and then never logs in. */
export interface SmtpServer {
  readonly host: string;
  readonly port: number;
  readonly tls: 'starttls' | 'implicit' | 'never';
}

/** The whole configuration, validated. Durations are milliseconds, sizes bytes. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly apiKeys: readonly ApiKey[];
  readonly gmail: {
    readonly user: string;
    /** 16 letters, without spaces. Null only if every server is `tls: 'never'`. */
    readonly appPassword: string | null;
    readonly from: Address;
  };
  readonly smtp: { readonly servers: readonly SmtpServer[]; readonly connections: number };
  readonly onUncertain: 'retry' | 'hold';
  readonly retryForMs: number;
  readonly queue: { readonly maxMessages: number; readonly maxBytes: number };
  readonly retainMs: number;
  readonly maxMessageBytes: number;
  readonly rateLimit: { readonly max: number; readonly windowMs: number };
  /** Addresses and CIDRs of proxies whose X-Forwarded-For is believed. */
  readonly trustProxy: readonly string[];
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  readonly shutdownTimeoutMs: number;
}
