import { openSimulator } from '../../src/simulator/simulator.ts';
import { answerQuestions, readSetup } from './children.ts';
import { openTurnstile, type Passed } from './counting-proxy.ts';

export interface GmailSetup {
  /** How many transactions it remembers. */
  readonly retain: number;
  /** Whether its sessions are counted, by a port in front of it. */
  readonly counts: boolean;
}

export interface GmailHello {
  readonly url: string;
  readonly port: number;
  readonly ca: string;
  readonly user: string;
  readonly password: string;
}

/** The simulator in a process of its own. */
const { retain, counts } = readSetup<GmailSetup>();
const gmail = await openSimulator({ retain });
const { ca, user, password } = gmail;
const door = counts ? await openTurnstile(gmail.starttlsPort) : null;
const port = door?.port ?? gmail.starttlsPort;
const url = door ? `smtp://localhost:${port}` : gmail.url;
answerQuestions({ url, port, ca, user, password } satisfies GmailHello, {
  accepted: () => gmail.counters.accepted,
  /** Resolves when that many were accepted in all. */
  waitForAccepted: (count: number) => gmail.waitFor(() => gmail.counters.accepted >= count),
  sessions: (): Passed | undefined => door?.passed,
  /** When each of the transactions it remembers began, in epoch ms. */
  begun: () => gmail.transactions.map(({ at }) => at),
});
