import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';
import { z } from 'zod';
import type { Accounts } from '../../core/accounts.ts';
import type { Delivery } from '../../core/delivery.ts';
import { AppError } from '../../core/errors.ts';
import type { Intake } from '../../core/intake.ts';
import type { Message } from '../../core/message.ts';
import type { Backend, IdempotencyLedger, Store, StoredAnswer } from '../../core/ports.ts';
import type { Waiters } from '../../core/waiters.ts';
import { callerOf } from '../caller.ts';
import { invalidFields } from '../fields.ts';
import { answerOnce, parseIdempotencyKey, toFingerprint } from '../idempotency.ts';
import { tellBudget } from '../plugins/limits.ts';
import { parseWait } from '../prefer.ts';
import { pathOf, toProblem } from '../problem.ts';
import { toPreview, toResource } from '../resource.ts';
import { answer, answers, RATE_LIMIT_HEADERS } from '../schemas/answers.ts';
import { messageResource, sendResult } from '../schemas/message.ts';
import { findClockErrors, sendRequest, toMessage } from '../schemas/send.ts';
import { toSignal } from '../signal.ts';

export interface SendOptions {
  readonly intake: Intake;
  readonly waiters: Pick<Waiters, 'wait'>;
  readonly store: Pick<Store, 'get' | 'hasRoom'>;
  readonly idempotency: IdempotencyLedger;
  readonly durability: Backend['durability'];
  readonly accounts: Pick<Accounts, 'defaultFrom' | 'budget'>;
  readonly isDraining: () => boolean;
}

/** Seconds. A full queue drains at some messages a second; a restart takes about as long. */
const RETRY_AFTER = 5;

/** A refusal for want of room is held back for so long: who hammers a full queue must not take from delivery the time that makes room. */
const FULL_QUEUE_HOLD_MS = 100;

/** Made once: an error for each would cost more than all else that a refusal does. */
const SHUTTING_DOWN = new AppError('shutting_down', { retryAfter: RETRY_AFTER });
const QUEUE_FULL = new AppError('queue_full', { retryAfter: RETRY_AFTER });

const LOCATION = { Location: { type: 'string', description: 'Where to see what becomes of it.', examples: ['/messages/msg_01k7m4q2'] } };
const PREFERENCE_APPLIED = {
  'Preference-Applied': { type: 'string', description: 'The preference that was honoured.', examples: ['wait=10'] },
};
const REPLAYED = {
  'Idempotency-Replayed': { type: 'string', description: 'Present if this is the answer to an earlier request.', examples: ['true'] },
};
const HEADERS = { ...LOCATION, ...PREFERENCE_APPLIED, ...REPLAYED };

const schema = {
  operationId: 'send',
  tags: ['messages'],
  summary: 'Send one message',
  description: `Accepts one message, and answers at once, before it is sent. With \`Prefer: wait\` the answer tells what became of it.

A retried request with the same \`Idempotency-Key\` gets the same answer, and nothing is sent twice.`,
  headers: z.object({
    Prefer: z
      .string()
      .optional()
      .meta({ description: 'wait=N: answer when the message is settled, or after N seconds (1 to 60; RFC 7240).', examples: ['wait=10'] }),
    'Idempotency-Key': z
      .string()
      .optional()
      .meta({
        description: 'Up to 256 visible ASCII characters. Not used by a dry run.',
        examples: ['6f1c9e0a-7d3b-4c51-9f57-0c2a8b1f4e11'],
      }),
  }),
  body: sendRequest,
  response: answers(
    {
      200: answer('It was sent, or partially sent, while the caller waited; or what a dry run would send.', sendResult, {
        headers: HEADERS,
      }),
      202: answer('Accepted. It will be tried.', messageResource, { headers: HEADERS }),
    },
    [
      'invalid_json',
      'missing_api_key',
      'invalid_api_key',
      'request_timeout',
      'sender_not_allowed',
      'idempotency_in_progress',
      'message_too_large',
      'unsupported_media_type',
      'validation_failed',
      'idempotency_key_reused',
      'attachment_blocked',
      'recipients_rejected',
      'mailbox_full',
      'content_rejected',
      'sender_rejected',
      'policy_rejected',
      'rate_limited',
      'internal_error',
      'smtp_rejected',
      'retries_exhausted',
      'delivery_uncertain',
      'queue_full',
      'queue_unavailable',
      'shutting_down',
      'expired',
    ],
    RATE_LIMIT_HEADERS,
  ),
};

/** POST /send: accept one message. */
export const sendRoutes: FastifyPluginAsyncZod<SendOptions> = async (app, options) => {
  const { intake, waiters, store, idempotency, durability, accounts } = options;

  /** Refuses before the body is read: a refusal must cost less than what it refuses. */
  const refuseEarly: onRequestHookHandler = (request, reply, done) => {
    if (options.isDraining()) {
      reply.header('connection', 'close');
      return done(SHUTTING_DOWN);
    }
    if (!store.hasRoom()) {
      setTimeout(done, FULL_QUEUE_HOLD_MS, QUEUE_FULL);
      return;
    }
    const { 'content-type': type, 'content-encoding': encoding = 'identity' } = request.headers;
    done(type === undefined || encoding !== 'identity' ? new AppError('unsupported_media_type') : undefined);
  };

  /** What to say of an accepted message: at once, or when the caller has waited for it. */
  function toAnswer(delivery: Delivery, request: FastifyRequest, reply: FastifyReply): StoredAnswer | Promise<StoredAnswer> {
    const seconds = parseWait(headerOf(request, 'prefer'));
    return seconds === null || delivery.status === 'scheduled' ? toAccepted(delivery, {}) : waitFor(delivery, seconds, request, reply);
  }

  async function waitFor(delivery: Delivery, seconds: number, request: FastifyRequest, reply: FastifyReply): Promise<StoredAnswer> {
    const applied = { 'preference-applied': `wait=${seconds}` };
    const settled = await waiters.wait(delivery.id, seconds * 1000, toSignal(reply));
    if (settled !== null) return toSettled(settled, request, applied);
    // Nothing that goes wrong now may hide that the message was accepted.
    const latest = await store.get(delivery.id).catch(() => null);
    return toAccepted(latest ?? delivery, applied);
  }

  function toAccepted(delivery: Delivery, headers: Record<string, string>, status = 202): StoredAnswer {
    return {
      status,
      headers: { ...headers, location: `/messages/${delivery.id}`, 'content-type': 'application/json; charset=utf-8' },
      body: JSON.stringify(toResource(delivery, durability)),
    };
  }

  function toSettled(delivery: Delivery, request: FastifyRequest, headers: Record<string, string>): StoredAnswer {
    const { status, error } = delivery;
    if (status === 'sent' || status === 'partially_sent' || error === null) return toAccepted(delivery, headers, 200);
    request.failure = new AppError(error.code);
    const problem = toProblem(error.code, {
      detail: error.detail,
      instance: pathOf(request),
      request_id: request.id,
      hint: error.hint,
      ...(error.smtp && { smtp: error.smtp }),
      message: toResource(delivery, durability),
    });
    return { status: problem.status, headers: { ...headers, 'content-type': 'application/problem+json' }, body: JSON.stringify(problem) };
  }

  app.post('/send', { schema, onRequest: refuseEarly }, async (request, reply) => {
    const caller = callerOf(request);
    const message = toMessage(request.body, accounts.defaultFrom);
    if (request.body.dry_run) {
      refuseByClock(message);
      const preview = await intake.preview(message, caller, request.id);
      tellBudget(reply, accounts.budget(preview.delivery.account, preview.delivery.priority));
      return toPreview(preview);
    }

    const accept = async () => {
      refuseByClock(message);
      const delivery = await intake.accept(message, caller, request.id);
      request.messageId = delivery.id;
      tellBudget(reply, accounts.budget(delivery.account, delivery.priority));
      return delivery;
    };
    const key = headerOf(request, 'idempotency-key');
    const given =
      key === undefined
        ? await toAnswer(await accept(), request, reply)
        : await answerOnce(idempotency, {
            key: `${caller.name} POST /send ${parseIdempotencyKey(key)}`,
            fingerprint: toFingerprint(message),
            accept,
            answer: async (delivery) => toAnswer(delivery, request, reply),
            onUnkept: () => request.log.error({ request_id: request.id, message_id: request.messageId }, 'the answer could not be kept'),
          });
    return reply.code(given.status).headers(given.headers).send(given.body);
  });
};

/** Looked at only once it is known that this is no repeat: a repeat gets its answer even when its times have passed since. */
function refuseByClock(message: Message): void {
  const errors = findClockErrors(message, Date.now());
  if (errors.length > 0) throw invalidFields(errors);
}

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}
