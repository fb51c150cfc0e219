import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Delivery, hasBounced, RECIPIENT_STATUSES } from '../../src/core/delivery/delivery.ts';
import { decodeRecord, encodeRecord } from '../../src/core/delivery/delivery-codec.ts';
import { BOUNCE_CLASSES, FOLLOW_UP_KINDS } from '../../src/core/delivery/follow-up.ts';
import { applyInbound, MAX_FOLLOW_UPS } from '../../src/core/inbound/apply.ts';
import type { InboundDecision } from '../../src/core/inbound/decision.ts';
import { aDelivery, anAttempt } from '../helpers/delivery.ts';
import { aBounce, aReply, aReported } from '../helpers/inbound.ts';

const EMAILS = ['ada@example.com', 'Bob@Example.com', 'grace@example.com'];

const sentTo = (...emails: string[]): Delivery =>
  aDelivery({
    status: 'sent',
    content: null,
    attempts: [anAttempt()],
    recipients: emails.map((email) => ({ email, status: 'accepted', smtp: null })),
  });

const applyAll = (first: Delivery, mails: readonly InboundDecision[]): Delivery =>
  mails.reduce<Delivery>((delivery, mail) => applyInbound(delivery, mail)?.delivery ?? delivery, first);

const reported = fc.record({
  email: fc.constantFrom(...EMAILS, 'bob@example.com', 'stranger@example.com'),
  class: fc.constantFrom(...BOUNCE_CLASSES),
  smtp: fc.constantFrom(null, { code: 550, enhanced: '5.1.1', response: 'No such user' }),
  diagnostic: fc.constantFrom(null, 'DNS Error'),
  reportingMta: fc.constantFrom(null, 'mx.example.com'),
  suppress: fc.boolean(),
});
const decisions: fc.Arbitrary<InboundDecision> = fc.record({
  kind: fc.constantFrom(...FOLLOW_UP_KINDS),
  at: fc.nat(1000),
  from: fc.constantFrom('ada@example.com', 'mailer-daemon@googlemail.com'),
  mailId: fc.nat(30).map((i) => `<${i}@example.com>`),
  recipients: fc.array(reported, { maxLength: 3 }),
  unverified: fc.boolean(),
});
const deliveries = fc
  .array(fc.constantFrom(...RECIPIENT_STATUSES.filter((status) => status !== 'bounced')), {
    minLength: EMAILS.length,
    maxLength: EMAILS.length,
  })
  .map((statuses) => {
    const recipients = EMAILS.map((email, i) => ({ email, status: statuses[i] ?? 'accepted', smtp: null }));
    return { ...sentTo(), recipients };
  });

describe('mail in the inbox, in any order', () => {
  test('changes a delivery at most once each, and never its status', () => {
    fc.assert(
      fc.property(deliveries, fc.array(decisions, { maxLength: 60 }), (first, mails) => {
        let delivery: Delivery = first;
        for (const mail of mails) {
          const applied = applyInbound(delivery, mail);
          if (applied === null) continue;
          expect(applyInbound(applied.delivery, mail)).toBeNull();
          expect(applied.delivery).toMatchObject({ status: 'sent', revision: delivery.revision + 1 });
          expect(applied.delivery.followUps.length).toBeLessThanOrEqual(MAX_FOLLOW_UPS);
          expect(applied.delivery.followUps.slice(0, delivery.followUps.length)).toEqual(delivery.followUps);
          delivery = applied.delivery;
        }
        expect(decodeRecord(encodeRecord(delivery), null)).toEqual(delivery);
      }),
    );
  });

  test('marks a recipient as bounced if a report names it and a server may have accepted it', () => {
    fc.assert(
      fc.property(deliveries, fc.array(decisions, { maxLength: 10 }), (first, mails) => {
        const last = applyAll(first, mails);
        const named = new Set(
          mails
            .filter(({ kind }) => kind === 'bounced')
            .flatMap(({ recipients }) => recipients.map(({ email }) => email.toLowerCase())),
        );
        first.recipients.forEach((recipient, i) => {
          const bounces =
            ['accepted', 'pending'].includes(recipient.status) && named.has(recipient.email.toLowerCase());
          if (bounces)
            expect(last.recipients[i]).toMatchObject({ status: 'bounced', email: recipient.email });
          else expect(last.recipients[i]).toBe(recipient);
        });
        expect(hasBounced(last)).toBe(last.recipients.some(({ bounce }) => bounce !== undefined));
      }),
    );
  });
});

describe('a bounce', () => {
  test('records class, reply and reporting server of its recipients', () => {
    const smtp = { code: 552, enhanced: '5.2.2', response: 'Mailbox full' };
    const bounce = aBounce({
      at: 5,
      recipients: [
        aReported({ email: 'BOB@example.com', class: 'soft', smtp, reportingMta: 'mx.example.com' }),
      ],
    });
    const applied = applyInbound(sentTo('ada@example.com', 'bob@example.com'), bounce);
    expect(applied?.delivery.recipients).toEqual([
      { email: 'ada@example.com', status: 'accepted', smtp: null },
      {
        email: 'bob@example.com',
        status: 'bounced',
        smtp: null,
        bounce: {
          at: 5,
          class: 'soft',
          smtp,
          diagnostic: null,
          reportingMta: 'mx.example.com',
          unverified: false,
        },
      },
    ]);
    const { from, mailId } = bounce;
    const followUp = { kind: 'bounced', at: 5, from, mailId, recipients: ['bob@example.com'] };
    expect(applied?.followUp).toEqual(followUp);
    expect(applied?.delivery.followUps).toEqual([followUp]);
  });

  test('stays as it was first reported, unless Gmail reports what was unverified', () => {
    const classesAfter = (...mails: InboundDecision[]) =>
      applyAll(sentTo('ada@example.com'), mails).recipients.map(({ bounce }) => bounce?.class);
    const soft = { recipients: [aReported({ class: 'soft' })] };
    expect(classesAfter(aBounce(soft), aBounce())).toEqual(['soft']);
    expect(classesAfter(aBounce(soft), aBounce({ unverified: true }))).toEqual(['soft']);
    expect(classesAfter(aBounce({ ...soft, unverified: true }), aBounce({ unverified: true }))).toEqual([
      'soft',
    ]);
    expect(classesAfter(aBounce({ ...soft, unverified: true }), aBounce())).toEqual(['hard']);
  });

  test('is recorded by its recipient if the message has as many follow-ups as it can have', () => {
    const replies = Array.from({ length: MAX_FOLLOW_UPS }, () => aReply());
    const delivery = applyAll(sentTo('ada@example.com'), replies);
    expect(delivery.followUps).toHaveLength(MAX_FOLLOW_UPS);
    expect(applyInbound(delivery, aReply())).toBeNull();
    const applied = applyInbound(delivery, aBounce());
    expect(applied?.delivery.followUps).toHaveLength(MAX_FOLLOW_UPS);
    expect(applied?.delivery.recipients).toMatchObject([{ status: 'bounced' }]);
    expect(applied?.followUp).toMatchObject({ kind: 'bounced', recipients: ['ada@example.com'] });
  });
});

test('a report about a message that was never attempted changes nothing', () => {
  const canceled = aDelivery({ status: 'canceled', content: null });
  expect(applyInbound(canceled, aBounce())).toBeNull();
  expect(applyInbound(canceled, aBounce({ kind: 'delayed' }))).toBeNull();
  expect(applyInbound({ ...canceled, attempts: [anAttempt()] }, aBounce())).not.toBeNull();
});

test('a report of a delay counts only for recipients that have not bounced', () => {
  const delayed = aBounce({ kind: 'delayed' });
  expect(applyInbound(sentTo('bob@example.com'), delayed)).toBeNull();
  const delivery = sentTo('ada@example.com');
  expect(applyInbound(delivery, delayed)?.delivery).toMatchObject({
    recipients: delivery.recipients,
    followUps: [{ kind: 'delayed', recipients: ['ada@example.com'] }],
  });
  const bounced = applyInbound(delivery, aBounce())?.delivery ?? delivery;
  expect(applyInbound(bounced, delayed)).toBeNull();
});

test('a mail that is read again changes nothing, but the same mail can be of two kinds', () => {
  const reply = aReply();
  const delivery = applyInbound(sentTo('ada@example.com'), reply)?.delivery ?? sentTo();
  expect(applyInbound(delivery, { ...reply, at: reply.at + 1 })).toBeNull();
  expect(applyInbound(delivery, { ...reply, kind: 'auto_replied' })).not.toBeNull();
});
