import { randomUUID } from 'node:crypto';
import type { Address } from 'postal-mime';
import type { DemoInbox, InboxEntry } from '../http/routes/demo-inbox.ts';
import type { AcceptedMessage } from '../simulator/message-log.ts';

/** Number of messages that the inbox shows. */
const MAX_MESSAGES = 100;

/** The newest messages of a simulator, for the page of the demo. Each is parsed once. */
export function createDemoInbox(received: readonly AcceptedMessage[]): DemoInbox {
  const entries = new WeakMap<AcceptedMessage, Promise<InboxEntry>>();

  function read(accepted: AcceptedMessage): Promise<InboxEntry> {
    const known = entries.get(accepted);
    if (known) return known;
    const entry = parse(accepted).then((message) => ({ message, view: randomUUID() }));
    entries.set(accepted, entry);
    return entry;
  }
  return { list: () => Promise.all(received.slice(-MAX_MESSAGES).reverse().map(read)) };
}

async function parse(accepted: AcceptedMessage): Promise<InboxEntry['message']> {
  // Loaded at first use: only the demo's page needs it.
  const { default: PostalMime } = await import('postal-mime');
  const mail = await PostalMime.parse(accepted.raw, { attachmentEncoding: 'arraybuffer' });
  return {
    id: accepted.id,
    received_at: new Date(accepted.acceptedAt).toISOString(),
    from: toMailbox(mail.from, accepted.rewrittenFrom ?? mail.from?.address ?? accepted.from),
    to: accepted.recipients,
    subject: mail.subject ?? '',
    text: mail.text ?? null,
    html: mail.html ?? null,
    headers: mail.headers.map(({ originalKey, value }) => ({ name: originalKey, value })),
    attachments: mail.attachments.map(({ filename, content, mimeType }) => ({
      filename,
      size: typeof content === 'string' ? content.length : content.byteLength,
      content_type: mimeType,
    })),
  };
}

function toMailbox(from: Address | undefined, email: string): string {
  return from?.name ? `${from.name} <${email}>` : email;
}
