import { openMailbox } from '../../../src/adapters/imap/mailbox.ts';
import type { ImapDeadlines } from '../../../src/adapters/imap/session.ts';
import { createLoginProvider, type LoginProvider } from '../../../src/adapters/mail-server/login.ts';
import { parseImapUrl } from '../../../src/config/mailbox-config.ts';
import type { ReadCredentials } from '../../../src/core/accounts/credentials.ts';
import type { SentResult } from '../../../src/core/ports/mailbox.ts';
import type { Simulator } from '../../../src/simulator/simulator.ts';

export interface MailboxUnderTest extends AsyncDisposable {
  readonly login: LoginProvider;
  /** @param since when the attempt began: now by default */
  findSent(messageId: string, options?: { since?: number; signal?: AbortSignal }): Promise<SentResult>;
  close(): Promise<void>;
}

export interface MailboxSetup {
  /** Value of IMAP_URL. */
  readonly url: string;
  readonly ca?: string;
  readonly user?: string;
  readonly credentials: ReadCredentials;
  readonly deadlines?: Partial<ImapDeadlines>;
}

/** Long enough for a loaded machine. */
const DEADLINES: ImapDeadlines = {
  connectMs: 5000,
  greetingMs: 5000,
  lookMs: 15_000,
  idleMs: 60_000,
};

/** Opens the mailbox of an account, as the service does. Close it with `await using`. */
export function openTestMailbox({
  url,
  ca,
  user = 'bot@simulator.test',
  credentials,
  deadlines,
}: MailboxSetup): MailboxUnderTest {
  const login = createLoginProvider(user, credentials, 2000);
  const mailbox = openMailbox({
    user,
    login,
    server: parseImapUrl(url),
    ca: ca ?? null,
    deadlines: { ...DEADLINES, ...deadlines },
  });
  return {
    login,
    findSent: (messageId, { since = Date.now(), signal = new AbortController().signal } = {}) =>
      mailbox.findSent({ messageId, since }, signal),
    close: mailbox.close,
    [Symbol.asyncDispose]: mailbox.close,
  };
}

/** Opens the mailbox of the simulator's user. */
export function openSimulatorMailbox(
  { imap, ca, user, password }: Simulator,
  setup: Partial<MailboxSetup> = {},
): MailboxUnderTest {
  return openTestMailbox({ url: imap.url, ca, user, credentials: passwordOf(password), ...setup });
}

export function passwordOf(password: string): ReadCredentials {
  return () => ({ kind: 'app_password', password });
}

/** Whether a command of a client would have changed a mailbox. */
export function writesOf({ imap }: Simulator): readonly string[] {
  return imap.commands.filter(({ writes }) => writes).map(({ text }) => text);
}
