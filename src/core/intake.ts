import type { Accounts, Routed } from './accounts.ts';
import { refuseEntries } from './attachments.ts';
import type { Caller } from './caller.ts';
import type { Delivery } from './delivery.ts';
import { AppError } from './errors.ts';
import { createMessageId } from './id.ts';
import { type Content, contentBytes, type Message, recipientsOf, recordBytes } from './message.ts';
import type { AttachmentInspector, Composed, Composer, Job, Queue, Store } from './ports.ts';

/** What a message would become; nothing of it is kept. */
export interface Preview {
  readonly delivery: Delivery;
  readonly composed: Composed;
}

/** The way in. */
export interface Intake {
  /**
   * Takes charge of one message: when it resolves, the message is as durable as the backend says and will be tried.
   *
   * @throws {AppError} `sender_not_allowed`, `attachment_blocked`, `message_too_large`, `queue_full`, `queue_unavailable`,
   *   `shutting_down`: nothing was accepted
   */
  accept(message: Message, caller: Caller, requestId: string): Promise<Delivery>;
  /**
   * Composes the message and keeps nothing.
   *
   * @throws {AppError} `sender_not_allowed`, `attachment_blocked`, `message_too_large`
   */
  preview(message: Message, caller: Caller, requestId: string): Promise<Preview>;
}

export interface IntakeDeps {
  readonly queue: Queue;
  readonly store: Store;
  readonly accounts: Pick<Accounts, 'route'>;
  readonly composer: Composer;
  readonly inspector: AttachmentInspector;
  /** The encoded message at most, in bytes. */
  readonly maxMessageBytes: number;
  readonly isDraining: () => boolean;
}

export function createIntake(deps: IntakeDeps): Intake {
  const { queue, store, accounts, composer, inspector, maxMessageBytes } = deps;

  async function compose(delivery: Delivery, content: Content): Promise<Composed> {
    const composed = await composer.compose(jobOf(delivery, content));
    if (composed.size > maxMessageBytes) {
      const detail = `Encoded, the message has ${composed.size} bytes; at most ${maxMessageBytes} are taken.`;
      throw new AppError('message_too_large', { detail });
    }
    return composed;
  }

  async function inspect({ attachments }: Content): Promise<void> {
    if (attachments.length === 0) return;
    const blocked = await inspector.findBlocked(attachments);
    if (blocked.length > 0) throw refuseEntries(blocked);
  }

  return {
    async accept(message, caller, requestId) {
      if (deps.isDraining()) throw new AppError('shutting_down', { retryAfter: 5 });
      const routed = accounts.route(message);
      const delivery = toDelivery(routed, caller, requestId);
      const { content } = routed.message;
      await inspect(content);
      if (mayExceed(content, maxMessageBytes)) await compose(delivery, content);
      await store.insert(delivery);
      await queue.push(delivery.id, { channel: delivery.account, afterMs: waitOf(delivery), priority: delivery.priority });
      return delivery;
    },
    async preview(message, caller, requestId) {
      const routed = accounts.route(message);
      const delivery = toDelivery(routed, caller, requestId);
      const { content } = routed.message;
      await inspect(content);
      return { delivery, composed: await compose(delivery, content) };
    },
  };
}

function toDelivery({ message, account }: Routed, caller: Caller, requestId: string): Delivery {
  const { envelope, content, tags, metadata, priority, scheduledAt, expiresAt } = message;
  const id = createMessageId();
  const createdAt = Date.now();
  const domain = envelope.from.email.slice(envelope.from.email.lastIndexOf('@') + 1);
  return {
    id,
    owner: caller.name,
    requestId,
    status: scheduledAt !== null && scheduledAt > createdAt ? 'scheduled' : 'queued',
    account,
    messageId: `<${id}@${domain}>`,
    envelope,
    content,
    tags,
    metadata,
    priority,
    bytes: recordBytes(message) + contentBytes(content),
    createdAt,
    scheduledAt,
    expiresAt,
    nextAttemptAt: null,
    finishedAt: null,
    recipients: recipientsOf(envelope).map((email) => ({ email, status: 'pending', smtp: null })),
    attempts: [],
    error: null,
    possibleDuplicate: false,
    perAttempt: null,
    retriedForMs: 0,
  };
}

function waitOf({ status, scheduledAt, createdAt }: Delivery): number {
  return status === 'scheduled' && scheduledAt !== null ? scheduledAt - createdAt : 0;
}

function jobOf({ id, messageId, createdAt, envelope }: Delivery, content: Content): Job {
  return { id, messageId, date: createdAt, envelope, content, recipients: recipientsOf(envelope) };
}

/**
 * Whether the encoded message could be over the limit: base64 grows by 78/57, a byte of text to six at worst (an encoded UTF-16 unit is two),
 * and headers, with a name for each recipient and attachment and a long thread, do not make a MiB.
 */
function mayExceed(content: Content, maxBytes: number): boolean {
  const worst = 6;
  const slack = 1024 * 1024;
  const bodies = (content.html?.length ?? 0) * (content.text === null ? 2 : 1) + (content.text?.length ?? 0);
  const attached = content.attachments.reduce((sum, attachment) => sum + (attachment.content.length * 78) / 57, 0);
  return attached + bodies * worst + slack > maxBytes;
}
