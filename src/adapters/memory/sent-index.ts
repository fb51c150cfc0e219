import { SENT_INDEX_MS, type SentIndex, type SentMail } from '../../core/ports/sent-index.ts';
import { createRetained } from './retained.ts';

const MAX_COUNT = 100_000;
const MAX_BYTES = 64 * 1024 * 1024;
/** Memory of an entry without its recipients, and of a recipient besides its address, in bytes. */
const ENTRY_BYTES = 420;
const RECIPIENT_BYTES = 24;

/** Creates a SentIndex in memory. */
export function createMemorySentIndex(): SentIndex {
  const sent = createRetained<SentMail>({
    forMs: SENT_INDEX_MS,
    maxCount: MAX_COUNT,
    maxBytes: MAX_BYTES,
    onEarlyDrop() {},
  });
  return {
    async add(mails) {
      for (const mail of mails) sent.set(mail.id, mail, { owner: mail.owner, bytes: bytesOf(mail) });
    },
    find: async (id) => sent.get(id) ?? null,
  };
}

function bytesOf({ recipients }: SentMail): number {
  return ENTRY_BYTES + recipients.reduce((sum, email) => sum + RECIPIENT_BYTES + email.length, 0);
}
