import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';
import type { Accounts } from '../../core/accounts/accounts.ts';
import type { Delivery } from '../../core/delivery/delivery.ts';
import { traceIdOf } from '../../core/delivery/trace-context.ts';
import { AppError } from '../../core/errors.ts';
import type { Intake, Preview } from '../../core/intake/intake.ts';
import type { Origin } from '../../core/intake/new-delivery.ts';
import type { Draft } from '../../core/message/message.ts';
import type { DeliveryStore, Tombstone } from '../../core/ports/delivery-store.ts';
import type { CachedResponse, IdempotencyStore } from '../../core/ports/idempotency-store.ts';
import { isEncoded, unsupportedMediaType } from '../errors/media-type.ts';
import { addAccountBudget, type RateLimits } from '../request/rate-limit.ts';
import { callerOf, headerOf } from '../request/request-context.ts';
import type { SendRequest } from '../schemas/send.ts';
import { toDraft } from './draft.ts';
import { runIdempotent, type SubmissionRequest } from './idempotency.ts';
import { parseIdempotencyKey, toFingerprint } from './idempotency-key.ts';

export interface SubmissionOptions {
  readonly intake: Intake;
  readonly store: Pick<DeliveryStore, 'refusalCode' | 'get' | 'tombstone'>;
  readonly idempotency: IdempotencyStore;
  readonly accounts: Pick<Accounts, 'defaultFrom' | 'budget'>;
  readonly limits: Pick<RateLimits, 'spendBatch'>;
  readonly isDraining: () => boolean;
}

/** An accepted message: as it is stored, or what remains of it. */
export type Accepted =
  | { readonly kind: 'stored'; readonly id: string; readonly delivery: Delivery }
  | { readonly kind: 'dropped'; readonly id: string; readonly tombstone: Tombstone | null };

/** What the routes that send mail share. */
export interface Submission {
  /** Refuses requests before their body is read, so that a refusal costs less than a delivery. */
  readonly refuseEarly: onRequestHookHandler;
  toDraft(body: SendRequest): Draft;
  /** @param id Id for the message, if it may have been accepted before. */
  accept(draft: Draft, request: FastifyRequest, id: string | undefined): Promise<Delivery>;
  /** Throws if `accept` would refuse the message itself. */
  check(draft: Draft, request: FastifyRequest): Promise<void>;
  preview(draft: Draft, request: FastifyRequest): Promise<Preview>;
  /** Finds a message that an earlier request submitted. */
  find(id: string, request: FastifyRequest): Promise<Accepted>;
  /** Adds the remaining quota of the delivery's account to the rate limit headers. */
  addBudget(delivery: Delivery, reply: FastifyReply): void;
  readonly spendBatch: RateLimits['spendBatch'];
  /**
   * Accepts one message, as {@link Submission.submit} does, and adds the quota of its account to
   * the headers.
   */
  submitOne(
    draft: Draft,
    request: FastifyRequest,
    reply: FastifyReply,
    respond: {
      readonly waits: boolean;
      toResponse(accepted: Accepted): CachedResponse | Promise<CachedResponse>;
    },
  ): Promise<CachedResponse>;
  /**
   * Executes a request and returns its response; at most once if it has an Idempotency-Key. Keys
   * are separate by API key and route.
   */
  submit<Result>(request: FastifyRequest, submission: SubmissionRequest<Result>): Promise<CachedResponse>;
}

/**
 * Delay of a `queue_full` response, in ms, so that clients hammering a full queue do not starve
 * delivery.
 */
const QUEUE_FULL_DELAY_MS = 100;

/** Created once, because creating errors takes longer than the rest of a refusal. */
const SHUTTING_DOWN = new AppError('shutting_down');
const REFUSALS = {
  queue_full: new AppError('queue_full'),
  queue_unavailable: new AppError('queue_unavailable'),
};

export function createSubmission(options: SubmissionOptions): Submission {
  const { intake, store, idempotency, accounts, limits, isDraining } = options;

  const refuseEarly: onRequestHookHandler = (request, reply, done) => {
    if (isDraining()) {
      reply.header('connection', 'close');
      return done(SHUTTING_DOWN);
    }
    const refusal = store.refusalCode();
    if (refusal !== null) {
      setTimeout(done, QUEUE_FULL_DELAY_MS, REFUSALS[refusal]);
      return;
    }
    const { headers } = request;
    const isUnsupported = headers['content-type'] === undefined || isEncoded(headers);
    done(isUnsupported ? unsupportedMediaType(request) : undefined);
  };

  function accept(draft: Draft, request: FastifyRequest, id: string | undefined): Promise<Delivery> {
    return intake.accept(draft, originOf(request), id).then((delivery) => {
      request.messageId = delivery.id;
      return delivery;
    });
  }

  async function find(id: string, request: FastifyRequest): Promise<Accepted> {
    request.messageId = id;
    const delivery = await store.get(id);
    return delivery
      ? { kind: 'stored', id, delivery }
      : { kind: 'dropped', id, tombstone: await store.tombstone(id) };
  }

  function addBudget(delivery: Delivery, reply: FastifyReply): void {
    addAccountBudget(reply, accounts.budget(delivery));
  }

  async function submit<Result>(
    request: FastifyRequest,
    submission: SubmissionRequest<Result>,
  ): Promise<CachedResponse> {
    const header = headerOf(request, 'idempotency-key');
    if (header === undefined) return submission.toResponse(await submission.submit(() => undefined));

    const owner = callerOf(request).name;
    const key = `${owner} ${request.method} ${request.routeOptions.url} ${parseIdempotencyKey(header)}`;
    return runIdempotent(idempotency, { key, owner }, submission, () =>
      request.log.error(
        { request_id: request.id, trace_id: traceIdOf(request.trace), msg_id: request.messageId },
        'response could not be stored for its Idempotency-Key',
      ),
    );
  }

  return {
    refuseEarly,
    toDraft: (body) => toDraft(body, accounts.defaultFrom),
    accept,
    check: (draft, request) => intake.check(draft, originOf(request)),
    preview: (draft, request) => intake.preview(draft, originOf(request)),
    find,
    addBudget,
    spendBatch: limits.spendBatch,
    submitOne: (draft, request, reply, { waits, toResponse }) =>
      submit<Accepted>(request, {
        waits,
        toResponse,
        submit: (idAt) =>
          accept(draft, request, idAt(0)).then((delivery) => {
            // From now on the queue counts its bytes, also while the client waits for the outcome.
            request.bodyHold?.release();
            addBudget(delivery, reply);
            return { kind: 'stored', id: delivery.id, delivery };
          }),
        fingerprint: () => toFingerprint(draft),
        toReceipt: ({ id }) => ({ ids: [id], refused: [] }),
        restore: ({ ids: [id = ''] }) => find(id, request),
      }),
    submit,
  };
}

function originOf(request: FastifyRequest): Origin {
  return { caller: callerOf(request), requestId: request.id, trace: request.trace };
}
