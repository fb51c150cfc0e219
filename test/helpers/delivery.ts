import { randomBytes } from 'node:crypto';
import type { Attempt, Delivery } from '../../src/core/delivery/delivery.ts';
import type { Lookup } from '../../src/core/delivery/lookup.ts';
import { type Job, toJob } from '../../src/core/delivery/outcome.ts';
import type { TraceContext } from '../../src/core/delivery/trace-context.ts';
import type { Draft, Message } from '../../src/core/message/message.ts';
import { aFailure, aFault } from './outcome.ts';

/** A small valid message, with the patch of the test. */
export function aMessage(patch: Partial<Message> & { to?: string[]; text?: string } = {}): Message {
  const { to = ['ada@example.com'], text = 'Hello.', ...rest } = patch;
  return {
    envelope: {
      from: { email: 'bot@acme.com', name: 'Acme' },
      to: to.map((email) => ({ email, name: null })),
      cc: [],
      bcc: [],
      subject: 'Hello',
    },
    content: {
      replyTo: [],
      html: null,
      text,
      attachments: [],
      calendar: null,
      headers: {},
      inReplyTo: null,
      references: [],
      unsubscribe: null,
    },
    tags: {},
    metadata: {},
    priority: 'normal',
    scheduledAt: null,
    expiresAt: null,
    ...rest,
  };
}

/** The same message as a draft. */
export function aDraft(patch: Parameters<typeof aMessage>[0] & { template?: Draft['template'] } = {}): Draft {
  const { template = null, ...rest } = patch;
  return { ...aMessage(rest), template };
}

/** The trace of a request, with the patch of the test. */
export function aTrace(patch: Partial<TraceContext> = {}): TraceContext {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  return { traceparent, tracestate: 'rojo=1,congo=2', startedAt: Date.now(), ...patch };
}

/** An attempt that has ended, with the patch of the test. */
export function anAttempt(patch: Partial<Attempt> = {}): Attempt {
  return {
    number: 1,
    startedAt: Date.now(),
    endedAt: Date.now(),
    account: 'bot@acme.com',
    smtp: null,
    error: null,
    ...patch,
  };
}

/** A delivery as intake creates it, with the patch of the test. */
export function aDelivery(patch: Partial<Delivery> = {}): Delivery {
  const id = `msg_${randomBytes(16).toString('hex')}`;
  const { envelope, content } = aMessage();
  return {
    id,
    revision: 1,
    owner: 'crm',
    requestId: 'req_1',
    trace: null,
    test: false,
    status: 'queued',
    account: 'bot@acme.com',
    messageId: `<${id}@acme.com>`,
    envelope,
    replyTo: [],
    template: null,
    attachments: [],
    warnings: [],
    content,
    tags: {},
    metadata: {},
    priority: 'normal',
    bytes: 1000,
    createdAt: Date.now(),
    scheduledAt: null,
    expiresAt: null,
    nextAttemptAt: null,
    finishedAt: null,
    recipients: envelope.to.map(({ email }) => ({ email, status: 'pending', smtp: null })),
    attempts: [],
    error: null,
    possibleDuplicate: false,
    perAttempt: null,
    retriedForMs: 0,
    lookup: null,
    followUps: [],
    ...patch,
  };
}

/** The lookup of a delivery after its first attempt ended uncertain, with the patch of the test. */
export function aLookup(patch: Partial<Lookup> = {}): Lookup {
  return {
    state: 'looking',
    account: 'bot@acme.com',
    attempt: 1,
    outcome: aFailure(aFault('connection_lost', { certain: false })),
    recipients: ['ada@example.com'],
    possibleDuplicate: false,
    since: 1000,
    endedAt: 2000,
    fault: null,
    ...patch,
  };
}

/** The job of a new message. */
export function aJob(recipients: readonly string[] = ['ada@example.com'], text = 'Hello.'): Job {
  return toJob(aDelivery(), aMessage({ text }).content, recipients);
}
