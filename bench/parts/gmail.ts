import { openSimulator } from '../../src/simulator/simulator.ts';
import { answerQuestions } from './children.ts';

export interface GmailHello {
  readonly url: string;
  readonly port: number;
  readonly ca: string;
  readonly user: string;
  readonly password: string;
}

/** The simulator in a process of its own. */
const gmail = await openSimulator({ retain: 10 });
const { url, starttlsPort: port, ca, user, password } = gmail;
answerQuestions({ url, port, ca, user, password } satisfies GmailHello, {
  accepted: () => gmail.counters.accepted,
  /** Resolves when that many were accepted in all. */
  waitForAccepted: (count: number) => gmail.waitFor(() => gmail.counters.accepted >= count),
});
