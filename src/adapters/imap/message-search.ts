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

/** Searches one connection. Opens folders read-only (EXAMINE) and reads by PEEK: nothing is marked. */
export interface MessageSearch {
  /**
   * Whether Sent Mail has the message. First reads the Message-ID of recent messages, since Gmail's
   * search index lags by minutes, then searches, which also finds what lies further back.
   *
   * @throws {MailboxError} If the mailbox has no folder of sent messages.
   * @throws the error with which the connection failed
   */
  isSent(query: SentQuery): Promise<boolean>;
  /**
   * Returns these fields of the header of a recent message. Null if the folder has none with this
   * Message-ID.
   *
   * @throws as `isSent` does
   */
  readHeader(query: SentQuery, folder: 'inbox' | 'sent', fields: readonly string[]): Promise<string | null>;
}

export function createMessageSearch(client: ImapFlow): MessageSearch {
  let sentFolder: string | null = null;

  /** Opens a folder again for each look: that updates the number of messages. */
  async function open(folder: 'inbox' | 'sent'): Promise<number> {
    if (folder === 'sent') sentFolder ??= await findSentFolder(client);
    const path = folder === 'inbox' ? 'INBOX' : (sentFolder as string);
    return (await client.mailboxOpen(path, { readOnly: true })).exists;
  }

  return {
    async isSent(query) {
      const exists = await open('sent');
      return (await scanRecent(client, exists, query)) !== null || searchIndex(client, query.messageId);
    },
    async readHeader(query, folder, fields) {
      return scanRecent(client, await open(folder), query, fields);
    },
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

/**
 * Reads messages from the newest to the first chunk that was filed before the attempt.
 *
 * @param fields read in addition to Message-ID
 * @returns the header of the message: the fields that are read
 */
async function scanRecent(
  client: ImapFlow,
  exists: number,
  { messageId, since }: SentQuery,
  fields: readonly string[] = [],
): Promise<string | null> {
  const oldest = Math.max(1, exists - MAX_SCANNED + 1);
  for (let last = exists; last >= oldest; last -= CHUNK) {
    const first = Math.max(oldest, last - CHUNK + 1);
    let newestAt = 0;
    for await (const { headers, internalDate } of client.fetch(`${first}:${last}`, {
      internalDate: true,
      headers: ['message-id', ...fields],
    })) {
      if (headers?.includes(messageId)) return headers.toString();
      newestAt = Math.max(newestAt, new Date(internalDate ?? 0).getTime());
    }
    if (newestAt < since - CLOCK_SKEW_MS) return null;
  }
  return null;
}

async function searchIndex(client: ImapFlow, messageId: string): Promise<boolean> {
  const query = client.capabilities.has('X-GM-EXT-1')
    ? { gmraw: `rfc822msgid:${messageId.replace(/^<|>$/g, '')}` }
    : { header: { 'message-id': messageId } };
  const found = await client.search(query, { uid: true });
  // `false`: the server refused the search. The scan stands.
  return Array.isArray(found) && found.length > 0;
}
