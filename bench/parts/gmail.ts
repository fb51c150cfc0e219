import { writeFileSync } from 'node:fs';
import { openSimulator } from '../../src/simulator/simulator.ts';
import { answerQuestions, readSetup } from './children.ts';
import { openCountingProxy, type SessionCounts } from './counting-proxy.ts';

export interface GmailSetup {
  /** Number of transactions that it remembers. */
  readonly retain: number;
  /** Whether a proxy in front of it counts its sessions. */
  readonly counts: boolean;
  /** Where to write the PEM of the CA. */
  readonly caFile: string;
}

export interface GmailHello {
  readonly url: string;
  readonly user: string;
  readonly password: string;
}

/** The simulator in its own process. */
const { retain, counts, caFile } = readSetup<GmailSetup>();
const gmail = await openSimulator({ retain });
const { user, password } = gmail;
writeFileSync(caFile, gmail.ca);
const proxy = counts ? await openCountingProxy(gmail.starttlsPort) : null;
const url = proxy ? `smtp://localhost:${proxy.port}` : gmail.url;
answerQuestions({ url, user, password } satisfies GmailHello, {
  accepted: () => gmail.counters.accepted,
  /** Resolves when `count` messages have been accepted in total. */
  waitForAccepted: (count: number) => gmail.waitFor(() => gmail.counters.accepted >= count),
  sessions: (): SessionCounts | undefined => proxy?.sessions,
  /** Start of each remembered transaction, in epoch ms. */
  begun: () => gmail.transactions.map(({ at }) => at),
});
