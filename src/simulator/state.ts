import { Authenticator } from './auth/authenticator.ts';
import { TokenIssuer } from './auth/token-issuer.ts';
import { MessageLog } from './message-log.ts';
import { DailyLimiter, Throttle } from './smtp/sending-limits.ts';

/** What the ports share. */
export interface SimulatorState {
  readonly journal: MessageLog;
  readonly authenticator: Authenticator;
  readonly tokens: TokenIssuer;
  readonly dailyLimiter: DailyLimiter;
  readonly throttle: Throttle;
  /** Addresses that every login may put into From. */
  readonly aliases: readonly string[];
  /** Whether it is asked for the first time about these words. */
  readonly firstTime: (...words: readonly string[]) => boolean;
}

export function createState(
  user: string,
  secret: string,
  aliases: readonly string[],
  retain: number,
): SimulatorState {
  const seen = new Set<string>();
  return {
    journal: new MessageLog(retain),
    authenticator: new Authenticator(secret),
    tokens: new TokenIssuer(user),
    dailyLimiter: new DailyLimiter(),
    throttle: new Throttle(),
    aliases,
    firstTime(...words) {
      const key = JSON.stringify(words);
      const isNew = !seen.has(key);
      seen.add(key);
      return isNew;
    },
  };
}
