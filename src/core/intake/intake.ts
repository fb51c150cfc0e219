import type { Accounts } from '../accounts/accounts.ts';
import type { ApiKeys } from '../auth/api-keys.ts';
import type { Caller } from '../auth/caller.ts';
import { type Delivery, pendingOf } from '../delivery/delivery.ts';
import type { Job } from '../delivery/outcome.ts';
import { AppError } from '../errors.ts';
import { createId } from '../id.ts';
import { type Content, type Draft, type Message, recipientsOf } from '../message/message.ts';
import { checkSchedule } from '../message/schedule.ts';
import type { AttachmentInspector } from '../ports/attachment-inspector.ts';
import type { Composed, Composer } from '../ports/composer.ts';
import type { DeliveryStore } from '../ports/delivery-store.ts';
import type { Queue } from '../ports/queue.ts';
import type { Templates } from '../ports/templates.ts';
import { runOrRetryInBackground } from '../retry-until-available.ts';
import { applySuppressions, type Suppressions } from '../suppressions.ts';
import { toBlockedEntriesError } from './blocked-attachments.ts';
import { toNewDelivery, warningsOf } from './new-delivery.ts';
import { checkRecipientPolicy } from './recipient-policy.ts';
import { redirectRecipients } from './staging-redirect.ts';

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
   * @param id of the message, for who may ask twice: then it is accepted once, and the second answer tells what has become of it
   * @throws {AppError} `sender_not_allowed`, `recipient_not_allowed`, `recipient_suppressed`, `template_not_found`, `template_failed`,
   *   `attachment_blocked`, `message_too_large`, `validation_failed`, `rate_limited`, `queue_full`, `queue_unavailable`, `shutting_down`: nothing was accepted
   */
  accept(draft: Draft, caller: Caller, requestId: string, id?: string): Promise<Delivery>;
  /**
   * Refuses what `accept` would refuse of the message itself, and keeps nothing.
   *
   * @throws {AppError} what `accept` throws
   */
  check(draft: Draft, caller: Caller, requestId: string): Promise<void>;
  /**
   * Composes the message and keeps nothing.
   *
   * @throws {AppError} what `accept` throws of the message itself
   */
  preview(draft: Draft, caller: Caller, requestId: string): Promise<Preview>;
}

export interface IntakeDeps {
  readonly queue: Queue;
  readonly store: DeliveryStore;
  readonly accounts: Pick<Accounts, 'route'>;
  readonly apiKeys: Pick<ApiKeys, 'reserve'>;
  readonly suppressions: Pick<Suppressions, 'find'>;
  readonly templates: Pick<Templates, 'render'>;
  readonly composer: Composer;
  readonly inspector: AttachmentInspector;
  /** Addresses and `@domains`; null: any. */
  readonly allowedRecipients: readonly string[] | null;
  /** Whom everything goes to in place of its recipients. */
  readonly redirectAllTo: string | null;
  /** The encoded message at most, in bytes. */
  readonly maxMessageBytes: number;
  readonly isDraining: () => boolean;
}

export function createIntake(deps: IntakeDeps): Intake {
  const { queue, store, accounts, suppressions, composer, inspector, maxMessageBytes } = deps;

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
    if (blocked.length > 0) throw toBlockedEntriesError(blocked);
  }

  /** The delivery that the draft asks for, once nothing of it is refused. */
  async function prepare(
    draft: Draft,
    caller: Caller,
    requestId: string,
    id = createId('msg'),
  ): Promise<{ delivery: Delivery; content: Content }> {
    checkSchedule(draft);
    checkRecipientPolicy(draft, caller, deps.redirectAllTo === null ? deps.allowedRecipients : null);
    const filled = fill(draft, deps.templates);
    const message = deps.redirectAllTo === null ? filled : redirectRecipients(filled, deps.redirectAllTo);
    const routed = accounts.route(message, caller);
    const { content } = routed.message;
    const warnings = warningsOf(filled, message, routed.message);
    const attachments = content.attachments.map((file) => ({
      filename: file.filename,
      size: file.content.length,
      contentType: composer.typeOf(file),
    }));
    const origin = { template: draft.template?.id ?? null, attachments, warnings };
    const asked = toNewDelivery({ ...routed, ...origin }, caller, requestId, id);
    const suppressed = await suppressions.find(asked.account, pendingOf(asked));
    const delivery = applySuppressions(asked, suppressed);
    await inspect(content);
    if (mayExceed(content, maxMessageBytes)) await compose(delivery, content);
    return { delivery, content };
  }

  /** Within the daily limit of the key; what could not be kept does not count. */
  async function insert(delivery: Delivery, caller: Caller): Promise<Delivery> {
    const place = await deps.apiKeys.reserve(caller);
    try {
      return await store.insert(delivery);
    } catch (error) {
      await place.release();
      throw error;
    }
  }

  async function admit(
    draft: Draft,
    caller: Caller,
    requestId: string,
    id: string | undefined,
  ): Promise<Delivery> {
    if (deps.isDraining()) throw new AppError('shutting_down');
    const { delivery } = await prepare(draft, caller, requestId, id);
    return insert(delivery, caller);
  }

  return {
    async accept(draft, caller, requestId, id) {
      const kept = await admit(draft, caller, requestId, id).catch(async (refusal) => {
        // What is refused today may have been accepted before.
        const known = id === undefined ? null : await store.get(id);
        if (known) return known;
        throw refusal;
      });
      await runOrRetryInBackground(() =>
        queue.push(kept.id, { channel: kept.account, afterMs: waitOf(kept), priority: kept.priority }),
      );
      return kept;
    },
    async check(draft, caller, requestId) {
      await prepare(draft, caller, requestId);
    },
    async preview(draft, caller, requestId) {
      const { delivery, content } = await prepare(draft, caller, requestId);
      return { delivery, composed: await compose(delivery, content) };
    },
  };
}

/** The words that the template gives, where the draft has none of its own. */
function fill(draft: Draft, templates: Pick<Templates, 'render'>): Message {
  const { template, envelope, content } = draft;
  if (template === null) return draft;
  const { subject, html, text } = templates.render(template);
  if (envelope.subject === '' && subject === null) throw withoutSubject();
  return {
    ...draft,
    envelope: { ...envelope, subject: envelope.subject || (subject ?? '') },
    content: { ...content, html, text },
  };
}

function withoutSubject(): AppError {
  const detail = 'The template has no subject.txt: give a subject.';
  return new AppError('template_failed', {
    detail,
    errors: [{ pointer: '/subject', code: 'required', detail }],
  });
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
  const attached = content.attachments.reduce(
    (sum, attachment) => sum + (attachment.content.length * 78) / 57,
    0,
  );
  return attached + bodies * worst + slack > maxBytes;
}
