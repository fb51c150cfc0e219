import { Authenticator } from './auth/authenticator.ts';
import { TokenIssuer } from './auth/token-issuer.ts';
import type { RelaySettings } from './gmail/relay.ts';
import { DailyLimiter, Throttle } from './gmail/sending-limits.ts';
import { ImapState } from './mailbox/imap-state.ts';
import { MessageLog } from './message-log.ts';

/** The state that all ports share. */
export interface SimulatorState {
  readonly messageLog: MessageLog;
  readonly authenticator: Authenticator;
  readonly tokens: TokenIssuer;
  readonly dailyLimiter: DailyLimiter;
  readonly throttle: Throttle;
  readonly imap: ImapState;
  /** Addresses that every login may use in From. */
  readonly aliases: readonly string[];
  /** Null: the server is smtp.gmail.com. */
  relay: RelaySettings | null;
  /** Returns true for the first call with these arguments, and false for every later one. */
  readonly isFirst: (...key: readonly string[]) => boolean;
}

export function createState(
  user: string,
  secret: string,
  aliases: readonly string[],
  retain: number,
): SimulatorState {
  const seen = new Set<string>();
  return {
    messageLog: new MessageLog(retain),
    authenticator: new Authenticator(secret),
    tokens: new TokenIssuer(user),
    dailyLimiter: new DailyLimiter(),
    throttle: new Throttle(),
    imap: new ImapState(retain),
    aliases,
    relay: null,
    isFirst(...parts) {
      const key = JSON.stringify(parts);
      const isNew = !seen.has(key);
      seen.add(key);
      return isNew;
    },
  };
}
