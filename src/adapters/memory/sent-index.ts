import { SENT_INDEX_MS, type SentIndex, type SentMail } from '../../core/ports/sent-index.ts';
import { createRetained } from './retained.ts';

const MAX_COUNT = 100_000;
const MAX_BYTES = 64 * 1024 * 1024;
/** Estimated memory of an entry without its addresses, in bytes. */
const FIXED_BYTES = 256;

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
      for (const mail of mails)
        sent.set(mail.id, mail, { owner: mail.owner, bytes: FIXED_BYTES + mail.recipients.join().length });
    },
    find: async (id) => sent.get(id) ?? null,
  };
}
