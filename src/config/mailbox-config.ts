import type { AccountConfig } from './account-config.ts';
import { parseServerUrl } from './server-url.ts';
import { defaultOf } from './setting-schema.ts';
import { isGmail, type SmtpServer } from './smtp-url.ts';
import { InvalidValue } from './value-parsers.ts';

/** The server of IMAP_URL. Always encrypted. */
export interface ImapServer {
  readonly host: string;
  readonly port: number;
  readonly tls: 'starttls' | 'implicit';
}

export const INBOUND = ['off', 'bounces', 'replies'] as const;
/** What is read from the inbox of each account (INBOUND). `replies` includes bounces. */
export type Inbound = (typeof INBOUND)[number];

/** What is read from the mailboxes of the accounts, and where. */
export interface MailboxConfig {
  /** Whether an attempt with an unknown outcome is searched for in Sent Mail. */
  readonly reconcile: boolean;
  /** How long, from the end of the attempt. */
  readonly reconcileForMs: number;
  /** Null: the accounts have no known mailbox, since SMTP_URL names another server than Gmail's. */
  readonly server: ImapServer | null;
  readonly inbound: Inbound;
}

const SCHEMES = { name: 'imap', starttlsPort: 143, tlsPort: 993 };

/** Parses `imaps://host:993`, or `imap://host:143` which requires STARTTLS. */
export function parseImapUrl(text: string): ImapServer {
  if (text.includes('@')) {
    throw new InvalidValue(
      'It has credentials: remove them from the URL. The login is that of the account, GMAIL_USER.',
    );
  }
  const { url, host, port, tls } = parseServerUrl(text, 'It', SCHEMES);
  if (url.search !== '')
    throw new InvalidValue(`It has parameters: write only ${url.protocol}//${url.host}.`);
  return { host, port, tls };
}

/** The values that {@link toMailboxConfig} reads. */
export interface MailboxValues {
  readonly RECONCILE: 'on' | 'off';
  readonly RECONCILE_FOR: number;
  readonly IMAP_URL?: ImapServer | undefined;
  readonly INBOUND: Inbound;
  readonly SMTP_URL: readonly SmtpServer[];
}

export function toMailboxConfig(values: MailboxValues): MailboxConfig {
  return {
    reconcile: values.RECONCILE === 'on',
    reconcileForMs: values.RECONCILE_FOR,
    server: values.IMAP_URL ?? defaultServer(values.SMTP_URL),
    inbound: values.INBOUND,
  };
}

/** Gmail's server knows nothing of mail that only other servers accept. */
function defaultServer(servers: readonly SmtpServer[]): ImapServer | null {
  return servers.some(isGmail) ? parseImapUrl(defaultOf('IMAP_URL')) : null;
}

/** The server of an account's mailbox. Null if the account has none that can be read. */
export function mailboxServerOf(
  { credentials }: Pick<AccountConfig, 'credentials'>,
  { server }: Pick<MailboxConfig, 'server'>,
): ImapServer | null {
  return credentials && server;
}

/** Whether anything is read from mailboxes. */
export function readsMailboxes({
  reconcile,
  inbound,
}: Pick<MailboxConfig, 'reconcile' | 'inbound'>): boolean {
  return reconcile || inbound !== 'off';
}
