import type { ImapFlow } from 'imapflow';
import type { SentQuery } from '../../core/ports/mailbox.ts';
import { MINUTE } from '../../core/time.ts';
import { MailboxError } from './imap-errors.ts';

/** Messages per FETCH. */
const CHUNK = 200;
/** Messages that are read at most, the newest first. What lies beyond is left to the index. */
const MAX_SCANNED = 2000;
/** How far the clocks of this machine and of the server may differ. */
const CLOCK_SKEW_MS = 60 * MINUTE;

/**
 * Whether Sent Mail has the message. First reads the Message-ID of recent messages, since Gmail's
 * search index lags by minutes, then searches, which also finds what lies further back. Opens the
 * folder read-only (EXAMINE) and reads by PEEK: nothing is marked.
 *
 * @throws {MailboxError} If the mailbox has no folder of sent messages.
 * @throws whatever the connection has failed with
 */
export type SentSearch = (query: SentQuery) => Promise<boolean>;

/** Creates the search of one connection. It looks for the folder once. */
export function createSentSearch(client: ImapFlow): SentSearch {
  let folder: string | null = null;
  return async (query) => {
    folder ??= await findSentFolder(client);
    // Opened again for each look: that updates the number of messages.
    const { exists } = await client.mailboxOpen(folder, { readOnly: true });
    return (await scanRecent(client, exists, query)) || (await searchIndex(client, query.messageId));
  };
}

/**
 * Finds the folder by its SPECIAL-USE attribute (RFC 6154), since its name is localized. All Mail is
 * the fallback: Gmail can hide Sent Mail from IMAP.
 */
async function findSentFolder(client: ImapFlow): Promise<string> {
  const folders = await client.list();
  const folder = ['\\Sent', '\\All']
    .map((use) => folders.find(({ specialUse }) => specialUse === use))
    .find((found) => found !== undefined);
  if (folder) return folder.path;
  throw new MailboxError({
    code: 'imap_disabled',
    detail:
      'IMAP shows no folder of sent messages. In the settings of Gmail, under Labels, select "Show in IMAP" for Sent Mail.',
    isRefusal: true,
  });
}

/** Reads messages from the newest to the first chunk that was filed before the attempt. */
async function scanRecent(
  client: ImapFlow,
  exists: number,
  { messageId, since }: SentQuery,
): Promise<boolean> {
  const oldest = Math.max(1, exists - MAX_SCANNED + 1);
  for (let last = exists; last >= oldest; last -= CHUNK) {
    const first = Math.max(oldest, last - CHUNK + 1);
    let newestAt = 0;
    for await (const { headers, internalDate } of client.fetch(`${first}:${last}`, {
      internalDate: true,
      headers: ['message-id'],
    })) {
      if (headers?.includes(messageId)) return true;
      newestAt = Math.max(newestAt, new Date(internalDate ?? 0).getTime());
    }
    if (newestAt < since - CLOCK_SKEW_MS) return false;
  }
  return false;
}

async function searchIndex(client: ImapFlow, messageId: string): Promise<boolean> {
  const query = client.capabilities.has('X-GM-EXT-1')
    ? { gmraw: `rfc822msgid:${messageId.replace(/^<|>$/g, '')}` }
    : { header: { 'message-id': messageId } };
  const found = await client.search(query, { uid: true });
  // `false`: the server refused the search. The scan stands.
  return Array.isArray(found) && found.length > 0;
}
