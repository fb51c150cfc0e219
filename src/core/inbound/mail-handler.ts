import type { Delivery } from '../delivery/delivery.ts';
import type { DeliveryStore } from '../ports/delivery-store.ts';
import type { SentIndex } from '../ports/sent-index.ts';
import {
  decideInbound,
  type IgnoreReason,
  type InboundChange,
  type ReferredMessage,
} from './decide-inbound.ts';
import type { InboundMail } from './inbound-mail.ts';
import type { InboundRecorder } from './inbound-recorder.ts';

/** Why a mail changed nothing. */
export type MailReason = IgnoreReason | 'recorded_before' | 'unreadable';

/** A mail about a message that has not settled. */
export interface WaitingMail {
  /** `msg_…` */
  readonly id: string;
  readonly decision: InboundChange;
}

export type HandledMail =
  | { readonly kind: 'recorded' }
  | { readonly kind: 'later'; readonly mail: WaitingMail }
  | { readonly kind: 'ignored'; readonly reason: MailReason };

/** Handles a report or a reply in the inbox of an account. */
export interface MailHandler {
  /**
   * Finds the message that a mail refers to, and records what the mail says about it. Handling it
   * again changes nothing.
   *
   * @param user The account that received it
   * @param receivedAt In epoch ms
   * @throws {AppError} `queue_unavailable`
   */
  handle(mail: InboundMail, user: string, receivedAt: number): Promise<HandledMail>;
  /**
   * Records a mail that waits. Returns false if its message has still not settled.
   *
   * @throws {AppError} `queue_unavailable`
   */
  retry(mail: WaitingMail): Promise<boolean>;
}

export interface MailHandlerDeps {
  readonly store: Pick<DeliveryStore, 'get'>;
  readonly sentIndex: Pick<SentIndex, 'find'>;
  readonly recorder: InboundRecorder;
}

interface FoundMessage extends ReferredMessage {
  /** `msg_…` */
  readonly id: string;
}

export function createMailHandler({ store, sentIndex, recorder }: MailHandlerDeps): MailHandler {
  /** Returns the first message of ours that a mail refers to. */
  async function findMessage({ candidates }: InboundMail, user: string): Promise<FoundMessage | null> {
    for (const messageId of candidates) {
      const id = idOf(messageId);
      const delivery = await store.get(id);
      const found = delivery ? toFound(delivery, messageId) : await findRemoved(id, messageId);
      if (found) return { ...found, senders: [...found.senders, user] };
    }
    return null;
  }

  /** Returns a message that is no longer stored. */
  async function findRemoved(id: string, messageId: string): Promise<FoundMessage | null> {
    const mail = await sentIndex.find(id);
    return mail && { id, messageId, recipients: mail.recipients, senders: [mail.account] };
  }

  return {
    async handle(mail, user, receivedAt) {
      const message = await findMessage(mail, user);
      const decision = decideInbound(mail, message, receivedAt);
      if (decision.kind === 'ignored') return decision;
      // Only a known message is decided about.
      const { id } = message as FoundMessage;
      const recorded = await recorder.record(id, decision);
      if (recorded === 'later') return { kind: 'later', mail: { id, decision } };
      return recorded === 'applied' ? { kind: 'recorded' } : { kind: 'ignored', reason: 'recorded_before' };
    },
    retry: async ({ id, decision }) => (await recorder.record(id, decision)) !== 'later',
  };
}

/** Messages of test keys have left for nowhere: no mail can follow them. */
function toFound(delivery: Delivery, messageId: string): FoundMessage | null {
  const { id, test, account, envelope, recipients } = delivery;
  if (test || delivery.messageId !== messageId) return null;
  return {
    id,
    messageId,
    recipients: recipients.map(({ email }) => email),
    senders: [envelope.from.email, account],
  };
}

/** @param messageId In our form: `<msg_…@domain>` */
function idOf(messageId: string): string {
  return messageId.slice(1, messageId.indexOf('@'));
}
