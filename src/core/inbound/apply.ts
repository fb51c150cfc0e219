import { amend, type Delivery, mayBeAccepted, type Recipient } from '../delivery/delivery.ts';
import type { Bounce, FollowUp } from '../delivery/follow-up.ts';
import { toMailboxKey } from '../message/address.ts';
import type { InboundDecision, ReportedRecipient } from './decision.ts';

/** Maximum number of follow-ups that a delivery has. */
export const MAX_FOLLOW_UPS = 20;

/** A delivery that a mail has changed. */
export interface AppliedInbound {
  readonly delivery: Delivery;
  readonly followUp: FollowUp;
}

/**
 * Returns the next revision of a settled delivery after a mail in the inbox, or null if the mail
 * changes nothing: it was applied before, or it names no recipient that it can concern.
 *
 * A bounce also counts if the delivery has {@link MAX_FOLLOW_UPS}: then only its recipients record it.
 */
export function applyInbound(delivery: Delivery, decision: InboundDecision): AppliedInbound | null {
  return decision.kind === 'bounced' ? applyBounce(delivery, decision) : applyFollowUp(delivery, decision);
}

function applyBounce(delivery: Delivery, decision: InboundDecision): AppliedInbound | null {
  const bounced: string[] = [];
  const recipients = delivery.recipients.map((recipient): Recipient => {
    const reported = findReported(decision, recipient.email);
    if (!reported || !mayBounce(recipient, delivery, decision)) return recipient;
    bounced.push(recipient.email);
    return { ...recipient, status: 'bounced', bounce: toBounce(reported, decision) };
  });
  if (bounced.length === 0) return null;
  const followUp = toFollowUp(decision, bounced);
  const followUps = [...delivery.followUps, followUp].slice(0, MAX_FOLLOW_UPS);
  return { delivery: amend(delivery, { recipients, followUps }), followUp };
}

function applyFollowUp(delivery: Delivery, decision: InboundDecision): AppliedInbound | null {
  const { followUps } = delivery;
  if (followUps.length >= MAX_FOLLOW_UPS) return null;
  if (followUps.some(({ kind, mailId }) => kind === decision.kind && mailId === decision.mailId)) return null;
  const delayed = delivery.recipients
    .filter((recipient) => mayBeAccepted(recipient, delivery) && findReported(decision, recipient.email))
    .map(({ email }) => email);
  if (decision.kind === 'delayed' && delayed.length === 0) return null;
  const followUp = toFollowUp(decision, delayed);
  return { delivery: amend(delivery, { followUps: [...followUps, followUp] }), followUp };
}

/** Returns what a mail reports of a recipient of its message. */
export function findReported({ recipients }: InboundDecision, email: string): ReportedRecipient | undefined {
  const key = toMailboxKey(email);
  return recipients.find((reported) => toMailboxKey(reported.email) === key);
}

/** A bounce stays as it was first reported, unless Gmail reports what was unverified. */
function mayBounce(recipient: Recipient, delivery: Delivery, { unverified }: InboundDecision): boolean {
  return mayBeAccepted(recipient, delivery) || (recipient.bounce?.unverified === true && !unverified);
}

/** Returns what a mail reports of a recipient, as it is recorded. */
export function toBounce(
  { class: bounceClass, smtp, diagnostic, reportingMta }: ReportedRecipient,
  { at, unverified }: InboundDecision,
): Bounce {
  return { at, class: bounceClass, smtp, diagnostic, reportingMta, unverified };
}

function toFollowUp({ kind, at, from, mailId }: InboundDecision, recipients: readonly string[]): FollowUp {
  return { kind, at, from, mailId, recipients };
}
