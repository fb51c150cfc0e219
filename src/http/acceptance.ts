import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';
import type { Accounts } from '../core/accounts.ts';
import type { Delivery } from '../core/delivery.ts';
import { AppError } from '../core/errors.ts';
import type { Intake, Preview } from '../core/intake.ts';
import type { Draft } from '../core/message.ts';
import type { IdempotencyLedger, Store, StoredAnswer, Tombstone } from '../core/ports.ts';
import { callerOf } from './caller.ts';
import { answerOnce, type OnceOnly, parseIdempotencyKey, toFingerprint } from './idempotency.ts';
import { isEncoded, refuseMediaType } from './media-type.ts';
import { type Limits, tellBudget } from './plugins/limits.ts';
import { type SendRequest, toDraft } from './schemas/send.ts';

export interface AcceptanceOptions {
  readonly intake: Intake;
  readonly store: Pick<Store, 'refusal' | 'get' | 'tombstone'>;
  readonly idempotency: IdempotencyLedger;
  readonly accounts: Pick<Accounts, 'defaultFrom' | 'budget'>;
  readonly limits: Pick<Limits, 'spendBatch'>;
  readonly isDraining: () => boolean;
}

/** A message that was accepted: as it is kept, or what is left of it. */
export type Accepted =
  | { readonly kind: 'kept'; readonly id: string; readonly delivery: Delivery }
  | { readonly kind: 'dropped'; readonly id: string; readonly tombstone: Tombstone | null };

/** What the routes that take mail have in common. */
export interface Acceptance {
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
  /** Spends the other messages of a batch, as {@link Limits} has it. */
  readonly spendBatch: Limits['spendBatch'];
  /**
   * Accepts the message of the request, as `once` does, and tells the budget of its account.
   *
   * @param respond `waits`: see {@link OnceOnly}
   */
  acceptOnce(
    draft: Draft,
    request: FastifyRequest,
    reply: FastifyReply,
    respond: { readonly waits: boolean; answer(accepted: Accepted): StoredAnswer | Promise<StoredAnswer> },
  ): Promise<StoredAnswer>;
  /** Does it, and once only if the request has an Idempotency-Key: that of another API key or route is another one. */
  once<T>(request: FastifyRequest, what: Omit<OnceOnly<T>, 'key' | 'owner' | 'onUnkept'>): Promise<StoredAnswer>;
}

/** A refusal for want of room is held back for so long: who hammers a full queue must not take from delivery the time that makes room. */
const FULL_QUEUE_HOLD_MS = 100;

/** Made once: an error for each would cost more than all else that a refusal does. */
const SHUTTING_DOWN = new AppError('shutting_down');
const NO_QUEUE = { queue_full: new AppError('queue_full'), queue_unavailable: new AppError('queue_unavailable') };

export function createAcceptance({ intake, store, idempotency, accounts, limits, isDraining }: AcceptanceOptions): Acceptance {
  const acceptance: Acceptance = {
    refuseEarly(request, reply, done) {
      if (isDraining()) {
        reply.header('connection', 'close');
        return done(SHUTTING_DOWN);
      }
      const refusal = store.refusal();
      if (refusal !== null) {
        setTimeout(done, FULL_QUEUE_HOLD_MS, NO_QUEUE[refusal]);
        return;
      }
      const { headers } = request;
      done(headers['content-type'] === undefined || isEncoded(headers) ? refuseMediaType(headers) : undefined);
    },
    toDraft: (body) => toDraft(body, accounts.defaultFrom),
    async accept(draft, request, id) {
      const delivery = await intake.accept(draft, callerOf(request), request.id, id);
      request.messageId = delivery.id;
      return delivery;
    },
    check: (draft, request) => intake.check(draft, callerOf(request), request.id),
    preview: (draft, request) => intake.preview(draft, callerOf(request), request.id),
    tellBudget: (delivery, reply) => tellBudget(reply, accounts.budget(delivery)),
    async find(id, request) {
      request.messageId = id;
      const delivery = await store.get(id);
      return delivery ? { kind: 'kept', id, delivery } : { kind: 'dropped', id, tombstone: await store.tombstone(id) };
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
      return answerOnce(idempotency, {
        ...what,
        owner,
        key: key === null ? null : `${owner} ${request.method} ${request.routeOptions.url} ${key}`,
        onUnkept: () => request.log.error({ request_id: request.id, msg_id: request.messageId }, 'the answer could not be kept'),
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
