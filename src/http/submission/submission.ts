import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';
import type { Accounts } from '../../core/accounts/accounts.ts';
import type { Delivery } from '../../core/delivery/delivery.ts';
import { AppError } from '../../core/errors.ts';
import type { Intake, Preview } from '../../core/intake/intake.ts';
import type { Draft } from '../../core/message/message.ts';
import type { DeliveryStore, Tombstone } from '../../core/ports/delivery-store.ts';
import type { CachedResponse, IdempotencyStore } from '../../core/ports/idempotency-store.ts';
import { callerOf } from '../request/caller.ts';
import { isEncoded, refuseMediaType } from '../request/media-type.ts';
import { type RateLimits, setRateLimitHeaders } from '../request/rate-limit.ts';
import { type SendRequest, toDraft } from '../schemas/send.ts';
import { type IdempotentRequest, parseIdempotencyKey, runIdempotent, toFingerprint } from './idempotency.ts';

export interface SubmissionOptions {
  readonly intake: Intake;
  readonly store: Pick<DeliveryStore, 'refusalCode' | 'get' | 'tombstone'>;
  readonly idempotency: IdempotencyStore;
  readonly accounts: Pick<Accounts, 'defaultFrom' | 'budget'>;
  readonly limits: Pick<RateLimits, 'spendBatch'>;
  readonly isDraining: () => boolean;
}

/** A message that was accepted: as it is kept, or what is left of it. */
export type Accepted =
  | { readonly kind: 'kept'; readonly id: string; readonly delivery: Delivery }
  | { readonly kind: 'dropped'; readonly id: string; readonly tombstone: Tombstone | null };

/** What the routes that take mail have in common. */
export interface Submission {
  /** Refuses before the body is read: a refusal must cost less than what it refuses. */
  readonly refuseEarly: onRequestHookHandler;
  toDraft(body: SendRequest): Draft;
  /** @param id of the message, if it may be accepted already */
  accept(draft: Draft, request: FastifyRequest, id: string | undefined): Promise<Delivery>;
  /** Refuses what `accept` would refuse of the message itself. */
  check(draft: Draft, request: FastifyRequest): Promise<void>;
  preview(draft: Draft, request: FastifyRequest): Promise<Preview>;
  /** A message that an earlier request has had accepted. */
  find(id: string, request: FastifyRequest): Promise<Accepted>;
  /** Tells the budget of the account that the delivery is for. */
  tellBudget(delivery: Delivery, reply: FastifyReply): void;
  /** Spends the other messages of a batch, as {@link RateLimits} has it. */
  readonly spendBatch: RateLimits['spendBatch'];
  /**
   * Accepts the message of the request, as `once` does, and tells the budget of its account.
   *
   * @param respond `waits`: see {@link IdempotentRequest}
   */
  acceptOnce(
    draft: Draft,
    request: FastifyRequest,
    reply: FastifyReply,
    respond: {
      readonly waits: boolean;
      answer(accepted: Accepted): CachedResponse | Promise<CachedResponse>;
    },
  ): Promise<CachedResponse>;
  /** Does it, and once only if the request has an Idempotency-Key: that of another API key or route is another one. */
  once<T>(
    request: FastifyRequest,
    what: Omit<IdempotentRequest<T>, 'key' | 'owner' | 'onUnkept'>,
  ): Promise<CachedResponse>;
}

/** A refusal for want of room is held back for so long: who hammers a full queue must not take from delivery the time that makes room. */
const FULL_QUEUE_HOLD_MS = 100;

/** Made once: an error for each would cost more than all else that a refusal does. */
const SHUTTING_DOWN = new AppError('shutting_down');
const NO_QUEUE = {
  queue_full: new AppError('queue_full'),
  queue_unavailable: new AppError('queue_unavailable'),
};

export function createSubmission({
  intake,
  store,
  idempotency,
  accounts,
  limits,
  isDraining,
}: SubmissionOptions): Submission {
  const acceptance: Submission = {
    refuseEarly(request, reply, done) {
      if (isDraining()) {
        reply.header('connection', 'close');
        return done(SHUTTING_DOWN);
      }
      const refusal = store.refusalCode();
      if (refusal !== null) {
        setTimeout(done, FULL_QUEUE_HOLD_MS, NO_QUEUE[refusal]);
        return;
      }
      const { headers } = request;
      done(
        headers['content-type'] === undefined || isEncoded(headers) ? refuseMediaType(headers) : undefined,
      );
    },
    toDraft: (body) => toDraft(body, accounts.defaultFrom),
    async accept(draft, request, id) {
      const delivery = await intake.accept(draft, callerOf(request), request.id, id);
      request.messageId = delivery.id;
      return delivery;
    },
    check: (draft, request) => intake.check(draft, callerOf(request), request.id),
    preview: (draft, request) => intake.preview(draft, callerOf(request), request.id),
    tellBudget: (delivery, reply) => setRateLimitHeaders(reply, accounts.budget(delivery)),
    async find(id, request) {
      request.messageId = id;
      const delivery = await store.get(id);
      return delivery
        ? { kind: 'kept', id, delivery }
        : { kind: 'dropped', id, tombstone: await store.tombstone(id) };
    },
    acceptOnce(draft, request, reply, { waits, answer }) {
      return acceptance.once<Accepted>(request, {
        waits,
        fingerprint: () => toFingerprint(draft),
        async accept(idAt) {
          const delivery = await acceptance.accept(draft, request, idAt(0));
          // From now on it counts as a message that waits, also while the client waits for it.
          request.bodyHold?.release();
          acceptance.tellBudget(delivery, reply);
          return { kind: 'kept', id: delivery.id, delivery };
        },
        receiptOf: ({ id }) => ({ ids: [id], refused: [] }),
        restore: ({ ids: [id = ''] }) => acceptance.find(id, request),
        answer: async (accepted) => answer(accepted),
      });
    },
    spendBatch: limits.spendBatch,
    async once(request, what) {
      const key = parseIdempotencyKey(headerOf(request, 'idempotency-key'));
      const owner = callerOf(request).name;
      return runIdempotent(idempotency, {
        ...what,
        owner,
        key: key === null ? null : `${owner} ${request.method} ${request.routeOptions.url} ${key}`,
        onUnkept: () =>
          request.log.error(
            { request_id: request.id, msg_id: request.messageId },
            'the answer could not be kept',
          ),
      });
    },
  };
  return acceptance;
}

/** What `read` makes of one message of many; or why that one is refused. */
export function orRefusal<T extends object>(read: () => T): T | { readonly refusal: AppError } {
  try {
    return read();
  } catch (error) {
    if (error instanceof AppError) return { refusal: error };
    throw error;
  }
}

export function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}
