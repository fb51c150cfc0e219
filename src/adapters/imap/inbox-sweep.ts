import type { ImapFlow, ListResponse } from 'imapflow';
import { digestOf } from '../../core/inbound/inbound-mail.ts';
import {
  createInboxPosition,
  type InboxPosition,
  type InboxState,
  isHandled,
  noteHandled,
  noteRead,
  noteSearched,
  noteSwept,
  planSweep,
  restartAt,
  searchSince,
} from '../../core/inbound/inbox-position.ts';
import type { InboxHandlers } from '../../core/ports/inbox.ts';
import { type InboxReaderOptions, type ReadMail, readMails, within } from './inbox-reader.ts';
import { createSuspects, type Suspects } from './suspects.ts';

/** Reads the mail of an account, on one connection after the other. Opens folders by EXAMINE. */
export interface InboxSweep {
  /**
   * Reads the inbox to its end.
   *
   * @param stored Null: it was never read
   */
  sweep(client: ImapFlow, stored: InboxPosition | null): Promise<InboxPosition>;
  /** Reads recent mail of the other folders, which also finds what a filter has moved. */
  searchAll(client: ImapFlow, stored: InboxPosition): Promise<InboxPosition>;
}

export interface InboxSweepOptions extends InboxReaderOptions {
  readonly handlers: Pick<InboxHandlers, 'onMail' | 'savePosition'>;
  readonly signal: AbortSignal;
}

/**
 * Number of mails after which the position is stored, so that a lost connection repeats few of them:
 * handling a mail again changes nothing. The position has some 20 KB, so storing it after each mail
 * would slow sending.
 */
const SAVE_EVERY = 50;
/** UIDs that one search asks for: its response is one line, which is limited. */
const MAX_RANGE = 100_000;
/** Maximum number of mails that a search of the other folders reads, in each the newest. */
const MAX_SEARCHED = 5000;
const MAX_FOLDERS = 50;
/** Folders whose mail was not received. */
const SENT_USES = ['\\Sent', '\\Drafts'];
/** All Mail of Gmail excludes spam and deleted mail. */
const WITH_ALL = ['\\All', '\\Junk', '\\Trash'];

export function createInboxSweep({ handlers, signal, ...reading }: InboxSweepOptions): InboxSweep {
  const { commandMs } = reading;
  const inInbox = createSuspects();
  const inFolders = new Map<string, Suspects>();

  async function handle(position: InboxPosition, { mail, receivedAt }: ReadMail): Promise<InboxPosition> {
    signal.throwIfAborted();
    if (mail === null) return position;
    const digest = digestOf(mail);
    if (isHandled(position, digest)) return position;
    await handlers.onMail(mail, receivedAt);
    return noteHandled(position, digest);
  }

  /** @param note Notes in the position that a mail has been read */
  async function readAll(
    client: ImapFlow,
    uids: readonly number[],
    suspects: Suspects,
    from: InboxPosition,
    note: (position: InboxPosition, uid: number) => InboxPosition,
  ): Promise<InboxPosition> {
    let position = from;
    let count = 0;
    for await (const read of readMails(client, uids, suspects, reading)) {
      position = note(await handle(position, read), read.uid);
      count += 1;
      if (count % SAVE_EVERY === 0) await handlers.savePosition(position);
    }
    return position;
  }

  /** Reads mail by UIDs, from the position to the end. */
  async function readOn(client: ImapFlow, from: InboxPosition, state: InboxState): Promise<InboxPosition> {
    let position = from;
    for (;;) {
      const plan = planSweep(position, state, Date.now());
      if (plan.kind !== 'uids') return position;
      const { first } = plan;
      const last = first + MAX_RANGE - 1;
      // `n:*` includes what has come meanwhile, and the last mail even if its UID is smaller.
      const range = last + 1 < state.uidNext ? `${first}:${last}` : `${first}:*`;
      const uids = (await search(commandMs, client, { uid: range })).filter((uid) => uid >= first);
      position = await readAll(client, uids, inInbox, position, noteRead);
      position = noteRead(position, Math.min(last, state.uidNext - 1));
    }
  }

  /** Returns the position from which to read once UIDs have changed. */
  async function restart(client: ImapFlow, position: InboxPosition, state: InboxState, since: number) {
    inInbox.clear();
    const uids = await search(commandMs, client, { since: new Date(since) });
    const first = uids.reduce((least, uid) => Math.min(least, uid), state.uidNext);
    return restartAt(position, state, first);
  }

  /** Reads the newest mails of an open folder. Also returns their number. */
  async function searchFolder(
    client: ImapFlow,
    path: string,
    since: Date,
    most: number,
    from: InboxPosition,
  ) {
    const suspects = inFolders.get(path) ?? createSuspects();
    inFolders.set(path, suspects);
    const uids = (await search(commandMs, client, { since })).slice(-most);
    const position = await readAll(client, uids, suspects, from, (searched) => searched);
    inFolders.delete(path);
    return { position, count: uids.length };
  }

  /** Returns false if the server refuses to open a folder that is not the first. */
  async function canOpen(client: ImapFlow, path: string, isFirst: boolean): Promise<boolean> {
    try {
      await openReadOnly(commandMs, client, path);
      return true;
    } catch (error) {
      if (isFirst || !client.usable) throw error;
      return false;
    }
  }

  return {
    async sweep(client, stored) {
      const state = await openReadOnly(commandMs, client, 'INBOX');
      let position = stored ?? createInboxPosition(state, Date.now());
      const plan = planSweep(position, state, Date.now());
      if (plan.kind === 'none' && stored !== null) return position;
      if (plan.kind === 'since') position = await restart(client, position, state, plan.since);
      position = await readOn(client, position, state);
      inInbox.clear();
      position = noteSwept(position, state, Date.now());
      await handlers.savePosition(position);
      return position;
    },
    async searchAll(client, stored) {
      const startedAt = Date.now();
      const since = new Date(searchSince(stored, startedAt));
      let position = stored;
      let left = MAX_SEARCHED;
      const folders = foldersToSearch(await within(commandMs, client, client.list()));
      for (const path of folders) {
        if (left <= 0 || !(await canOpen(client, path, path === folders[0]))) continue;
        const { position: searched, count } = await searchFolder(client, path, since, left, position);
        position = searched;
        left -= count;
      }
      position = noteSearched(position, startedAt);
      await handlers.savePosition(position);
      return position;
    },
  };
}

/** Names are localized: folders are recognized by their SPECIAL-USE attributes (RFC 6154). */
function foldersToSearch(folders: readonly ListResponse[]): readonly string[] {
  const open = folders.filter(({ flags }) => !flags.has('\\Noselect') && !flags.has('\\NonExistent'));
  const withUse = (use: string) => open.filter(({ specialUse }) => specialUse === use);
  const sent = SENT_USES.flatMap(withUse);
  const searched =
    withUse('\\All').length > 0 ? WITH_ALL.flatMap(withUse) : open.filter((folder) => !sent.includes(folder));
  return searched.slice(0, MAX_FOLDERS).map(({ path }) => path);
}

async function openReadOnly(commandMs: number, client: ImapFlow, path: string): Promise<InboxState> {
  const { uidValidity, uidNext } = await within(
    commandMs,
    client,
    client.mailboxOpen(path, { readOnly: true }),
  );
  return { uidValidity: Number(uidValidity ?? 0), uidNext: uidNext ?? (await nextUid(commandMs, client)) };
}

/** Returns UIDNEXT of a server that does not state it. */
async function nextUid(commandMs: number, client: ImapFlow): Promise<number> {
  return Math.max(0, ...(await search(commandMs, client, { uid: '*' }))) + 1;
}

async function search(
  commandMs: number,
  client: ImapFlow,
  query: { uid: string } | { since: Date },
): Promise<number[]> {
  const found = await within(commandMs, client, client.search(query, { uid: true }));
  if (!Array.isArray(found)) throw new Error('The IMAP server refused a search');
  return found;
}
