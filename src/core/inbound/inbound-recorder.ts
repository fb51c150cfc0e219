import { isSettled } from '../delivery/delivery.ts';
import { type BouncedRecipient, bouncedIn } from '../delivery/follow-up.ts';
import type { DeliveryChanges } from '../delivery-changes.ts';
import type { Events } from '../events.ts';
import type { DeliveryStore } from '../ports/delivery-store.ts';
import type { SentIndex } from '../ports/sent-index.ts';
import type { Suppressions } from '../suppressions.ts';
import { applyInbound, findReported, toBounce } from './apply.ts';
import type { InboundDecision } from './decision.ts';

/**
 * What became of a mail:
 *
 * - `applied`: the message has changed;
 * - `later`: the message has not settled, so the mail must be recorded again later;
 * - `ignored`: it was recorded before, or does not concern the message.
 */
export type Recorded = 'applied' | 'later' | 'ignored';

export interface InboundRecorder {
  /**
   * Records what a mail in the inbox reports about a message. Recording it again changes nothing.
   *
   * @param id `msg_…`
   * @throws {AppError} `queue_unavailable`
   */
  record(id: string, decision: InboundDecision): Promise<Recorded>;
}

export interface InboundRecorderDeps {
  readonly store: Pick<DeliveryStore, 'get' | 'update'>;
  readonly changes: DeliveryChanges;
  readonly suppressions: Pick<Suppressions, 'addBounced'>;
  readonly sentIndex: SentIndex;
  readonly events: Events;
}

/**
 * Records mail that follows messages. Suppressions are written first: after a crash the mail is
 * recorded again, and everything that is missing follows.
 */
export function createInboundRecorder({
  store,
  changes,
  suppressions,
  sentIndex,
  events,
}: InboundRecorderDeps): InboundRecorder {
  /** Suppresses the recipients that must not be sent to again. */
  async function suppress(
    bounced: readonly BouncedRecipient[],
    decision: InboundDecision,
    account: string,
    id: string,
  ): Promise<void> {
    for (const { email, bounce } of bounced)
      if (findReported(decision, email)?.suppress)
        await suppressions.addBounced(email, account, bounce.smtp, id);
  }

  /** Records a bounce of a message that is no longer stored. */
  async function recordLate(id: string, decision: InboundDecision): Promise<Recorded> {
    const mail = decision.kind === 'bounced' ? await sentIndex.find(id) : null;
    if (mail === null) return 'ignored';
    const bounced = mail.recipients.flatMap((email) => {
      const reported = findReported(decision, email);
      return reported ? [{ email, bounce: toBounce(reported, decision) }] : [];
    });
    if (bounced.length === 0) return 'ignored';
    await suppress(bounced, decision, mail.account, id);
    const rest = mail.recipients.filter((email) => {
      const reported = findReported(decision, email);
      // Gmail can still report what would suppress the recipient.
      return !reported || (decision.unverified && !reported.suppress);
    });
    await sentIndex.add([{ ...mail, recipients: rest }]);
    events.emit('message.bounced_late', mail, bounced);
    return 'applied';
  }

  return {
    async record(id, decision) {
      for (;;) {
        const from = await store.get(id);
        if (from === null) return recordLate(id, decision);
        if (!isSettled(from.status)) return 'later';
        const applied = applyInbound(from, decision);
        if (applied === null) return 'ignored';
        const { delivery, followUp } = applied;
        if (!from.test) await suppress(bouncedIn(followUp, delivery), decision, from.account, id);
        const change = changes.plan(from, delivery, null, followUp);
        if (!(await store.update(from, delivery, null, change.notices))) continue;
        changes.announce(change);
        return 'applied';
      }
    },
  };
}
