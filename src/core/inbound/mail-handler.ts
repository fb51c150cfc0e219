import type { Delivery } from '../delivery/delivery.ts';
import type { DeliveryStore } from '../ports/delivery-store.ts';
import type { SentIndex } from '../ports/sent-index.ts';
import { decideInbound, type IgnoredMail, type ReferredMessage } from './decide-inbound.ts';
import type { InboundDecision } from './decision.ts';
import type { InboundMail } from './inbound-mail.ts';
import type { InboundRecorder, Recorded } from './inbound-recorder.ts';

/** One change that a mail makes to a message. */
export interface DecidedMail {
  /** `msg_…` */
  readonly id: string;
  readonly decision: InboundDecision;
}

/** The changes that a mail makes, in the order in which they are recorded. */
export interface DecidedMails {
  readonly kind: 'decided';
  readonly mails: readonly DecidedMail[];
}

/** Handles the reports and the replies in the inbox of an account. */
export interface MailHandler {
  /**
   * Finds the message that a mail refers to, and decides what the mail changes.
   *
   * @param own Addresses of the account that received it
   * @param receivedAt In epoch ms
   * @throws {AppError} `queue_unavailable`
   */
  decide(mail: InboundMail, own: readonly string[], receivedAt: number): Promise<DecidedMails | IgnoredMail>;
  /**
   * Records a change. Recording it again changes nothing.
   *
   * @throws {AppError} `queue_unavailable`
   */
  record(mail: DecidedMail): Promise<Recorded>;
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
  async function findMessage(
    { candidates }: InboundMail,
    own: readonly string[],
  ): Promise<FoundMessage | null> {
    for (const messageId of candidates) {
      const id = idOf(messageId);
      const delivery = await store.get(id);
      const found = delivery ? toFound(delivery, messageId) : await findRemoved(id, messageId);
      if (found) return { ...found, senders: [...found.senders, ...own] };
    }
    return null;
  }

  /** Returns a message that is no longer stored. */
  async function findRemoved(id: string, messageId: string): Promise<FoundMessage | null> {
    const mail = await sentIndex.find(id);
    return mail && { id, messageId, recipients: mail.recipients, senders: [mail.account] };
  }

  return {
    async decide(mail, own, receivedAt) {
      const message = await findMessage(mail, own);
      const decided = decideInbound(mail, message, receivedAt);
      if (decided.kind === 'ignored') return decided;
      // There are decisions only about a message that was found.
      const { id } = message as FoundMessage;
      return { kind: 'decided', mails: decided.decisions.map((decision) => ({ id, decision })) };
    },
    record: ({ id, decision }) => recorder.record(id, decision),
  };
}

/** Messages of test keys are not sent, so no mail can follow them. */
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
