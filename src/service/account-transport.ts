import { DEADLINES, type Deadlines, defaultEhloName } from '../adapters/smtp/server-options.ts';
import { openTransport } from '../adapters/smtp/transport.ts';
import type { AccountConfig } from '../config/account-config.ts';
import type { SmtpServer } from '../config/smtp-url.ts';
import { createAccount } from '../core/accounts/account.ts';
import { newAccountState } from '../core/accounts/account-state.ts';
import type { Sender } from '../core/accounts/accounts.ts';
import { upgradeAccountState } from '../core/accounts/upgrade-account-state.ts';
import type { Events } from '../core/events.ts';
import type { SharedState } from '../core/ports/shared-state.ts';
import type { Transport } from '../core/ports/transport.ts';

export interface AccountTransportOptions {
  readonly events: Events;
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
  readonly absentAfterMs?: number | undefined;
}

/** An account with its transport, which must be closed. */
export interface AccountTransport extends Sender {
  readonly transport: Transport;
}

export async function openAccountTransport(
  { user, credentials, from, aliases, domains, daily, reserve }: AccountConfig,
  {
    servers,
    ehloName,
    ca = null,
    backoffScale = 1,
    deadlines = DEADLINES,
    ...shared
  }: AccountTransportOptions,
): Promise<AccountTransport> {
  const { sharedState } = shared;
  const transport = openTransport({
    servers,
    user,
    credentials,
    ehloName: ehloName ?? defaultEhloName(user),
    ca,
    deadlines,
  });
  const account = createAccount(user, {
    ...shared,
    backoffScale,
    allowance: { ...daily, reserve },
    state: await sharedState.open(
      `account:${user}`,
      () => newAccountState(sharedState.now()),
      upgradeAccountState,
    ),
    closeIdleConnections: transport.closeIdleConnections,
  });
  return { account, transport, from, aliases, domains };
}
