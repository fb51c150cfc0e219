import { Journal } from './journal.ts';
import { Authenticator } from './logins.ts';

/** What the two ports share. */
export interface SimulatorState {
  readonly journal: Journal;
  readonly authenticator: Authenticator;
  /** Whether it is asked for the first time about these words. */
  readonly firstTime: (...words: readonly string[]) => boolean;
}

export function createState(secret: string, retain: number): SimulatorState {
  const seen = new Set<string>();
  return {
    journal: new Journal(retain),
    authenticator: new Authenticator(secret),
    firstTime(...words) {
      const key = JSON.stringify(words);
      const isNew = !seen.has(key);
      seen.add(key);
      return isNew;
    },
  };
}
