import { ehloName } from './adapters/smtp/ehlo-name.ts';
import { DEADLINES, type Deadlines } from './adapters/smtp/server-options.ts';
import { openTransport } from './adapters/smtp/transport.ts';
import type { AccountConfig } from './config/account.ts';
import type { SmtpServer } from './config/smtp-url.ts';
import { createAccount } from './core/account.ts';
import type { Sender } from './core/accounts.ts';
import { createConcurrency } from './core/concurrency.ts';
import type { Events } from './core/events.ts';
import { createPace, UNPACED } from './core/pace.ts';
import type { Transport } from './core/ports.ts';
import { createQuota } from './core/quota.ts';

export interface SenderOptions {
  readonly events: Events;
  /** In order of preference. */
  readonly servers: readonly SmtpServer[];
  readonly connections: number;
  /** Messages per second; null: no limit. */
  readonly rate: number | null;
  /** A CA to trust besides those of Node, as PEM. */
  readonly ca?: string | null | undefined;
  /** Multiplies every pause of the account. */
  readonly backoffScale?: number | undefined;
  readonly deadlines?: Deadlines | undefined;
}

/** A sender and its way out, which must be closed. */
export interface OpenSender extends Sender {
  readonly transport: Transport;
}

/** An account with its limits, and its way to the server, which must be closed. */
export function openSender(
  { user, credentials, from, aliases, daily, reserve }: AccountConfig,
  { events, servers, connections, rate, ca = null, backoffScale = 1, deadlines = DEADLINES }: SenderOptions,
): OpenSender {
  const account = createAccount(user, {
    events,
    backoffScale,
    connections,
    quota: createQuota({ ...daily, reserve }, { backoffScale }),
    pace: rate === null ? UNPACED : createPace(rate),
    concurrency: createConcurrency(connections),
  });
  const transport = openTransport({ servers, user, credentials, ehloName: ehloName(user), ca, deadlines });
  return { account, transport, from, aliases };
}
