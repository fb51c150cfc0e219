import type { Accounts } from '../accounts/accounts.ts';
import type { ApiKeys, Reservation } from '../auth/api-keys.ts';
import { type Delivery, pendingOf } from '../delivery/delivery.ts';
import { AppError } from '../errors.ts';
import type { Events } from '../events.ts';
import { createId } from '../id.ts';
import type { Content, Draft } from '../message/message.ts';
import { checkSchedule } from '../message/schedule.ts';
import type { AttachmentInspector } from '../ports/attachment-inspector.ts';
import type { Composed, Composer } from '../ports/composer.ts';
import type { DeliveryStore } from '../ports/delivery-store.ts';
import type { Templates } from '../ports/templates.ts';
import { applySuppressions, type Suppressions } from '../suppressions.ts';
import { checkAttachments } from './blocked-attachments.ts';
import { composeWithin, mayExceed } from './message-size.ts';
import { describeAttachments, type Origin, toNewDelivery, warningsOf } from './new-delivery.ts';
import { checkRecipientPolicy } from './recipient-policy.ts';
import { renderTemplate } from './render-template.ts';
import { redirectRecipients } from './staging-redirect.ts';

/** The delivery that a message would become, and its composed form. Nothing is stored. */
export interface Preview {
  readonly delivery: Delivery;
  readonly composed: Composed;
}

/** Accepts messages. */
export interface Intake {
  /**
   * Accepts one message. Once this resolves, the message is as durable as the backend's
   * `durability` says and will be attempted.
   *
   * @param id Id for the message, if the request may be a repetition. A message with this id is
   *   accepted once; repeating the call returns its current state.
   * @throws {AppError} `sender_not_allowed`, `recipient_not_allowed`, `recipient_suppressed`,
   *   `template_not_found`, `template_failed`, `attachment_blocked`, `message_too_large`,
   *   `validation_failed`, `rate_limited`, `queue_full`, `queue_unavailable`, `shutting_down`.
   *   Nothing was accepted.
   */
  accept(draft: Draft, origin: Origin, id?: string): Promise<Delivery>;
  /**
   * Throws if `accept` would refuse the message itself. Stores nothing.
   *
   * @throws {AppError} The errors of `accept` that depend on the message
   */
  check(draft: Draft, origin: Origin): Promise<void>;
  /**
   * Composes the message and stores nothing.
   *
   * @throws {AppError} The errors of `accept` that depend on the message
   */
  preview(draft: Draft, origin: Origin): Promise<Preview>;
}

export interface IntakeDeps {
  readonly store: DeliveryStore;
  readonly events: Events;
  readonly accounts: Pick<Accounts, 'route'>;
  readonly apiKeys: Pick<ApiKeys, 'reserve'>;
  readonly suppressions: Pick<Suppressions, 'find'>;
  readonly templates: Pick<Templates, 'render'>;
  readonly composer: Composer;
  readonly inspector: AttachmentInspector;
  /** Addresses and `@domains` that mail may be sent to; null: any. */
  readonly allowedRecipients: readonly string[] | null;
  /** Address that replaces the recipients of every message; null: none. */
  readonly redirectAllTo: string | null;
  /** Maximum size of the encoded message, in bytes. */
  readonly maxMessageBytes: number;
  readonly isDraining: () => boolean;
}

interface Submitted {
  readonly delivery: Delivery;
  readonly content: Content;
}

export function createIntake(deps: IntakeDeps): Intake {
  const { store, events, accounts, apiKeys, suppressions, templates, composer, inspector } = deps;
  const { maxMessageBytes, redirectAllTo } = deps;
  // With REDIRECT_ALL_TO no mail reaches the requested recipients, so ALLOWED_RECIPIENTS does not
  // apply.
  const allowedRecipients = redirectAllTo === null ? deps.allowedRecipients : null;

  /**
   * All steps of accepting a message, in order. A dry run ends before the first step that changes
   * anything.
   */
  async function submit(
    draft: Draft,
    origin: Origin,
    { dryRun = false, id = createId('msg') } = {},
  ): Promise<Submitted> {
    checkSchedule(draft);
    checkRecipientPolicy(draft, origin.caller, allowedRecipients);
    const rendered = renderTemplate(draft, templates);
    const redirected = redirectRecipients(rendered, redirectAllTo);
    const { message, account } = accounts.route(redirected, origin.caller);
    const { content } = message;
    const attachments = describeAttachments(content, composer);
    const warnings = warningsOf(rendered, redirected, message);
    const template = draft.template?.id ?? null;
    const checked = { message, account, template, attachments, warnings };
    const created = toNewDelivery(checked, origin, id);
    const delivery = applySuppressions(created, await suppressions.find(account, pendingOf(created)));
    if (content.attachments.length > 0) await checkAttachments(content.attachments, inspector);
    if (mayExceed(content, maxMessageBytes))
      await composeWithin(maxMessageBytes, delivery, content, composer);
    if (dryRun) return { delivery, content };

    const reservation = await apiKeys.reserve(origin.caller);
    return { delivery: await persist(delivery, reservation), content };
  }

  /** A message that cannot be stored does not count against the daily limit. */
  async function persist(delivery: Delivery, reservation: Reservation): Promise<Delivery> {
    try {
      const stored = await store.insert(delivery);
      // Another delivery is stored if the request is a repetition.
      if (stored === delivery) events.emit('message.accepted', delivery);
      return stored;
    } catch (error) {
      await reservation.release();
      throw error;
    }
  }

  return {
    async accept(draft, origin, id) {
      try {
        if (deps.isDraining()) throw new AppError('shutting_down');
        return (await submit(draft, origin, { id })).delivery;
      } catch (refusal) {
        // An earlier call with this id may have been accepted although this one is refused.
        const earlier = id === undefined ? null : await store.get(id);
        if (earlier === null) throw refusal;
        return earlier;
      }
    },
    async check(draft, origin) {
      await submit(draft, origin, { dryRun: true });
    },
    async preview(draft, origin) {
      const { delivery, content } = await submit(draft, origin, { dryRun: true });
      return { delivery, composed: await composeWithin(maxMessageBytes, delivery, content, composer) };
    },
  };
}
