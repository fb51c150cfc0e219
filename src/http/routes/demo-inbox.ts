import type { FastifyPluginAsync } from 'fastify';
import { sendMailView } from '../mail-view.ts';

/** A message that the demo's simulator received, as the API shows it. */
interface ReceivedMessage {
  readonly id: string;
  /** ISO 8601. */
  readonly received_at: string;
  /** As the recipient sees it: Gmail rewrites an address that the account does not own. */
  readonly from: string;
  /** The recipients of the envelope, which include those of Bcc. */
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string | null;
  readonly html: string | null;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly attachments: readonly {
    readonly filename: string | null;
    /** In bytes, decoded. */
    readonly size: number;
    readonly content_type: string;
  }[];
}

/** A received message, with a name for the view of its html that cannot be guessed. */
export interface InboxEntry {
  readonly message: ReceivedMessage;
  readonly view: string;
}

/** The mail that the demo's simulator received. */
export interface DemoInbox {
  /** Returns the newest messages, newest first. */
  list(): Promise<readonly InboxEntry[]>;
}

export interface DemoInboxOptions {
  /** Null outside the demo, where the routes are unknown. */
  readonly demoInbox: DemoInbox | null;
}

/** GET /demo/inbox: what the simulator received. */
export const demoInboxRoutes: FastifyPluginAsync<DemoInboxOptions> = async (app, { demoInbox }) => {
  if (demoInbox === null) return;
  app.get('/demo/inbox', { schema: { hide: true }, config: { scope: 'read' } }, async () => ({
    messages: (await demoInbox.list()).map(toResource),
  }));
};

/** GET /demo/inbox/views/{view}: the html of a message, for a frame, which cannot send an API key. */
export const demoViewRoutes: FastifyPluginAsync<DemoInboxOptions> = async (app, { demoInbox }) => {
  if (demoInbox === null) return;
  app.get('/demo/inbox/views/:view', { schema: { hide: true } }, async (request, reply) => {
    const { view } = request.params as { view: string };
    const html = (await demoInbox.list()).find((entry) => entry.view === view)?.message.html;
    if (!html) return reply.callNotFound();
    return sendMailView(html, reply);
  });
};

/** `view_url` is relative, and null for a message without html. */
function toResource({ message, view }: InboxEntry) {
  return { ...message, view_url: message.html === null ? null : `demo/inbox/views/${view}` };
}
