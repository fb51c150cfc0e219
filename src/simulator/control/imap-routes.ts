import { z } from 'zod';
import { REPORT_LANGUAGES } from '../gmail/report-texts.ts';
import { IMAP_LOGIN_FAULTS, type ImapFault, type ImapLoginFault } from '../mailbox/faults.ts';
import { FOLDER_ROLES, type FolderRole, type Mail } from '../mailbox/folder.ts';
import type { ImapState } from '../mailbox/imap-state.ts';
import type { FilingOptions, MailboxCommand, MailboxSettings } from '../mailbox/mailboxes.ts';
import { HttpError, post, type Route } from './http-server.ts';

/**
 * The simulated IMAP server and its mailboxes, as part of the Simulator object. A user who is not
 * given is that of the simulator.
 */
export interface SimulatorImap {
  readonly port: number;
  /** Value of IMAP_URL. */
  readonly url: string;
  /** Totals since the start. Connections include those without TLS or login. */
  readonly counters: { readonly connections: number; readonly logins: number; readonly failedLogins: number };
  /** Number of open connections. */
  readonly sessions: number;
  /** Number of connections that wait in IDLE. */
  readonly idleSessions: number;
  /** Commands, oldest first, without passwords and tokens. */
  readonly commands: readonly MailboxCommand[];
  /** Returns the mails of a folder, oldest first. */
  mails(role: FolderRole, user?: string): readonly Mail[];
  /** Puts a mail into a folder, and into All Mail. Its lines can end with LF. */
  deliver(raw: string, options?: DeliverOptions): void;
  /** Removes every mail, also those that would be filed later. */
  clear(): void;
  /** Changes settings of all mailboxes. */
  configure(settings: Partial<MailboxSettings>): void;
  /** Gives every mail of an account another UID, and closes all connections. */
  changeUidValidity(user?: string): void;
  /** Turns IMAP of an account off or on. */
  setEnabled(enabled: boolean, user?: string): void;
  /** Makes the next `times` logins fail, or all if not given; null ends the fault. */
  setLoginFault(fault: ImapLoginFault | null, times?: number): void;
  /** Applies a fault to the replies of open and new connections; null ends it. */
  setFault(fault: ImapFault | null): void;
  /** Closes every connection without a reply. */
  closeConnections(): void;
}

export interface DeliverOptions extends FilingOptions {
  readonly user?: string | undefined;
  /** INBOX by default. */
  readonly folder?: FolderRole | undefined;
}

/**
 * @param owner the user of the simulator
 * @param server where it listens
 */
export function createImap(imap: ImapState, owner: string, server: { readonly port: number }): SimulatorImap {
  const { mailboxes, faults, counters } = imap;
  return {
    get port() {
      return server.port;
    },
    get url() {
      return `imaps://localhost:${server.port}`;
    },
    counters,
    get sessions() {
      return imap.sessions.size;
    },
    get idleSessions() {
      return [...imap.sessions].filter((session) => session.isIdle).length;
    },
    commands: mailboxes.commands,
    mails: (role, user = owner) => mailboxes.folder(user, role).entries.map(({ mail }) => mail),
    deliver: (raw, { user = owner, folder = 'inbox', ...options } = {}) =>
      mailboxes.deliver(user, folder, () => raw.replace(/\r?\n/g, '\r\n'), options),
    clear: () => mailboxes.clear(),
    configure(settings) {
      mailboxes.settings = { ...mailboxes.settings, ...settings };
    },
    changeUidValidity(user = owner) {
      // First, so that no session reports the change.
      imap.closeSessions();
      mailboxes.changeUidValidity(user);
    },
    setEnabled: (enabled, user = owner) => mailboxes.enableImap(user, enabled),
    setLoginFault: (fault, times = Number.POSITIVE_INFINITY) => faults.setLoginFault(fault, times),
    setFault(fault) {
      faults.current = fault;
    },
    closeConnections: () => imap.closeSessions(),
  };
}

interface ImapContext {
  readonly imap: SimulatorImap;
}

const user = z.string().min(1).optional();
const role = z.enum(FOLDER_ROLES);
const seconds = z.number().min(0).max(86_400);
const command = z
  .string()
  .transform((name) => name.toUpperCase())
  .optional();

/** The routes that show and control the mailboxes. */
export const IMAP_ROUTES: readonly Route<ImapContext>[] = [
  {
    method: 'GET',
    path: '/mailbox',
    summary: 'the mails of a folder, newest first: ?folder=inbox&user=you@example.com',
    handle: ({ imap }, { query }) => {
      const folder = role.safeParse(query.get('folder') ?? 'inbox');
      if (!folder.success) throw new HttpError(400, `folder is one of ${FOLDER_ROLES.join(', ')}`);
      const mails = imap.mails(folder.data, query.get('user') ?? undefined);
      return { mails: mails.map(toResource).reverse() };
    },
  },
  post(
    '/mailbox',
    '{"raw": "...", "folder": "inbox", "user": "you@example.com"}: puts a mail into a folder, INBOX by default',
    z.strictObject({ raw: z.string().min(1), folder: role.optional(), user }),
    ({ imap }, { raw, ...options }) => imap.deliver(raw, options),
  ),
  {
    method: 'DELETE',
    path: '/mailbox',
    summary: 'deletes all mails of all mailboxes',
    handle: ({ imap }) => imap.clear(),
  },
  {
    method: 'GET',
    path: '/imap-commands',
    summary: 'the commands of IMAP clients, newest first; "writes" if one changes a mailbox',
    handle: ({ imap }) => ({ ...imap.counters, commands: imap.commands.toReversed() }),
  },
  post(
    '/imap-settings',
    '{"filing_delay_seconds": 5, "index_lag_seconds": 60, "sent_name": "[Gmail]/Gesendet", "language": "de"}: changes mailboxes',
    z.strictObject({
      filing_delay_seconds: seconds.optional(),
      index_lag_seconds: seconds.optional(),
      sent_name: z.string().min(1).optional(),
      language: z.enum(REPORT_LANGUAGES).optional(),
      signing_domain: z.string().min(1).nullable().optional(),
    }),
    ({ imap }, body) => {
      imap.configure({
        ...(body.filing_delay_seconds !== undefined && { filingDelayMs: body.filing_delay_seconds * 1000 }),
        ...(body.index_lag_seconds !== undefined && { indexLagMs: body.index_lag_seconds * 1000 }),
        ...(body.sent_name !== undefined && { sentName: body.sent_name }),
        ...(body.language !== undefined && { language: body.language }),
        ...(body.signing_domain !== undefined && { signingDomain: body.signing_domain }),
      });
      return body;
    },
  ),
  post(
    '/imap-login-fault',
    '{"fault": "imap-off-by-admin", "times": 3}: makes the next logins fail, all without times; null ends it',
    z.strictObject({
      fault: z.enum(IMAP_LOGIN_FAULTS).nullable(),
      times: z.int().min(0).max(1_000_000).nullable().default(null),
    }),
    ({ imap }, body) => {
      imap.setLoginFault(body.fault, body.times ?? undefined);
      return body;
    },
  ),
  post(
    '/imap-fault',
    '{"fault": {"kind": "slow", "ms": 5000, "command": "SEARCH"}}: also garbage, cut, refuse; null ends it',
    z.strictObject({
      fault: z
        .discriminatedUnion('kind', [
          z.strictObject({ kind: z.literal('slow'), ms: z.int().min(0), command }),
          z.strictObject({ kind: z.literal('garbage'), command }),
          z.strictObject({ kind: z.literal('cut'), after_bytes: z.int().min(0).default(0), command }),
          z.strictObject({ kind: z.literal('refuse'), text: z.string(), command }),
        ])
        .nullable(),
    }),
    ({ imap }, body) => {
      const { fault } = body;
      imap.setFault(fault?.kind === 'cut' ? { ...fault, afterBytes: fault.after_bytes } : fault);
      return body;
    },
  ),
  post(
    '/imap-access',
    '{"enabled": false, "user": "you@example.com"}: turns IMAP of an account off or on',
    z.strictObject({ enabled: z.boolean(), user }),
    ({ imap }, body) => {
      imap.setEnabled(body.enabled, body.user);
      return body;
    },
  ),
  post(
    '/imap-uid-validity',
    '{"user": "you@example.com"}: gives every mail another UID, and closes the connections',
    z.strictObject({ user }),
    ({ imap }, body) => imap.changeUidValidity(body.user),
  ),
  post(
    '/imap-disconnection',
    '{}: closes every IMAP connection without a reply',
    z.strictObject({}),
    ({ imap }) => imap.closeConnections(),
  ),
];

function toResource({ content, receivedAt, flags }: Mail) {
  return { receivedAt, flags: [...flags], raw: Buffer.from(content, 'latin1').toString() };
}
