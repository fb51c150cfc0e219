import { isDeepStrictEqual } from 'node:util';
import type { InboundParser } from '../adapters/imap/inbound/inbound-parser.ts';
import { openInbox } from '../adapters/imap/inbox.ts';
import { openMailbox } from '../adapters/imap/mailbox.ts';
import type { ImapDeadlines } from '../adapters/imap/session.ts';
import { DEADLINES, type Deadlines, defaultEhloName } from '../adapters/smtp/server-options.ts';
import { openTransport, type SmtpTransport } from '../adapters/smtp/transport.ts';
import type { AccountConfig } from '../config/account-config.ts';
import { type MailboxConfig, mailboxServerOf, readsMailboxes } from '../config/mailbox-config.ts';
import type { SmtpServer } from '../config/smtp-url.ts';
import { createAccount } from '../core/accounts/account.ts';
import type { AccountNotices } from '../core/accounts/account-events.ts';
import { newAccountState } from '../core/accounts/account-state.ts';
import type { Sender } from '../core/accounts/accounts.ts';
import type { MailboxUse } from '../core/accounts/mailbox-status.ts';
import { upgradeAccountState } from '../core/accounts/upgrade-account-state.ts';
import type { Events } from '../core/events.ts';
import type { Inbox } from '../core/ports/inbox.ts';
import type { Mailbox } from '../core/ports/mailbox.ts';
import type { SharedState } from '../core/ports/shared-state.ts';

export interface AccountTransportOptions {
  readonly events: Events;
  /** Default: none. */
  readonly noticesOf?: AccountNotices | undefined;
  /** Holds the account state. */
  readonly sharedState: SharedState;
  /** In order of preference. */
  readonly servers: readonly SmtpServer[];
  /** SMTP_EHLO_NAME. */
  readonly ehloName?: string | null | undefined;
  /** Maximum connections of all instances together. */
  readonly connections: number;
  /** Maximum connections of this instance. */
  readonly connectionsHere: number;
  /** Messages per second. Null: no limit. */
  readonly rate: number | null;
  /** A CA to trust in addition to those of Node, as PEM. */
  readonly ca?: string | null | undefined;
  /** Multiplies every pause of the account. */
  readonly backoffScale?: number | undefined;
  readonly deadlines?: Deadlines | undefined;
  /** Default: the account has no mailbox. */
  readonly mailbox?: MailboxConfig | undefined;
  readonly imapDeadlines?: ImapDeadlines | undefined;
  /** Reads the mail in the inbox. Default: none is read. */
  readonly inboundParser?: InboundParser | null | undefined;
  readonly absentAfterMs?: number | undefined;
}

/** An account with its transport, which must be closed. */
export interface AccountTransport extends Sender {
  readonly transport: SmtpTransport;
  /** Null if none can be read. Not connected before it is used. */
  readonly mailbox: Mailbox | null;
  /** Null if nothing is read from it. */
  readonly inbox: Inbox | null;
  /** What it was opened with, or changed to. */
  readonly config: AccountConfig;
}

export async function openAccountTransport(
  config: AccountConfig,
  {
    servers,
    ehloName,
    ca = null,
    backoffScale = 1,
    deadlines = DEADLINES,
    mailbox: mailboxConfig,
    imapDeadlines,
    inboundParser = null,
    ...shared
  }: AccountTransportOptions,
): Promise<AccountTransport> {
  const { sharedState } = shared;
  const { user, credentials, from, aliases, domains } = config;
  const transport = openTransport({
    servers,
    user,
    credentials,
    ehloName: ehloName ?? defaultEhloName(user),
    ca,
    deadlines,
  });
  const { login } = transport;
  const server = mailboxConfig ? mailboxServerOf(config, mailboxConfig) : null;
  const imap = server && login && { user, login, server, ca, deadlines: imapDeadlines };
  const mailbox = imap && openMailbox(imap);
  const replies = mailboxConfig?.inbound === 'replies';
  const inbox = imap && inboundParser && openInbox({ ...imap, parser: inboundParser, replies, backoffScale });
  const account = createAccount(user, {
    ...shared,
    mailbox: toMailboxUse(mailboxConfig, mailbox),
    backoffScale,
    allowance: toAllowance(config),
    state: await sharedState.open(
      `account:${user}`,
      () => newAccountState(sharedState.now()),
      upgradeAccountState,
    ),
    closeIdleConnections: transport.closeIdleConnections,
  });
  return { account, transport, mailbox, inbox, config, from, aliases, domains };
}

/** Applies another configuration of the same user. Connections and state stay. */
export function changeAccountTransport(
  sender: AccountTransport,
  config: AccountConfig,
): { readonly sender: AccountTransport; readonly isChanged: boolean } {
  const { account, transport, mailbox, inbox, config: former } = sender;
  const { credentials, from, aliases, domains } = config;
  const hasOtherLogin = credentials !== null && transport.replaceCredentials(credentials);
  account.changeAllowance(toAllowance(config));
  const isChanged = hasOtherLogin || !isDeepStrictEqual(settingsOf(config), settingsOf(former));
  return {
    sender: { account, transport, mailbox, inbox, config, from, aliases, domains },
    isChanged,
  };
}

function toMailboxUse(config: MailboxConfig | undefined, mailbox: Mailbox | null): MailboxUse {
  if (!config || !readsMailboxes(config)) return 'off';
  return mailbox ? 'on' : 'none';
}

function settingsOf({ credentials: _, ...settings }: AccountConfig) {
  return settings;
}

function toAllowance({ daily, reserve }: AccountConfig) {
  return { ...daily, reserve };
}
