import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { ListPosition } from '../../core/delivery/delivery-query.ts';
import { AppError } from '../../core/errors.ts';
import { ALL_MESSAGES, type Messages } from '../../core/messages.ts';
import { sendInPieces } from '../json-pieces.ts';
import { callerOf, messageIdOf } from '../request/request-context.ts';
import { TRACE_HEADERS } from '../request/trace-context.ts';
import { messageParams, reschedule } from '../schemas/message.ts';
import { BODY_CODES, KEY_CODES, REPLAYED, success } from '../schemas/responses.ts';
import { idempotencyKey } from '../schemas/send.ts';
import { MAX_BATCH_VALUES } from '../submission/batch.ts';
import { sendCached, toJsonResponse } from '../submission/cached-response.ts';
import type { Submission } from '../submission/submission.ts';
import { invalidFields } from '../validation/validation.ts';
import { submitBatch } from './batch.ts';
import { toEmail, toEmailEntry } from './presenters.ts';
import { resendResponses } from './responses.ts';
import {
  email,
  emailBatchAnswer,
  emailBatchRequest,
  emailId,
  emailList,
  emailQuery,
  emailReference,
  emailRequest,
} from './schemas.ts';

export interface ResendOptions {
  readonly submission: Submission;
  readonly messages: Pick<Messages, 'get' | 'list' | 'cancel' | 'reschedule'>;
}

/** Errors of a request with a body. */
const BODY = [...BODY_CODES, 'validation_failed'] as const;

/** Errors of a request that sends. */
const SENDING = [
  ...KEY_CODES,
  ...BODY,
  'sender_not_allowed',
  'recipient_not_allowed',
  'idempotency_in_progress',
  'attachment_blocked',
  'template_not_found',
  'template_failed',
  'recipient_suppressed',
  'idempotency_key_reused',
  'shutting_down',
] as const;

const accepted = { headers: REPLAYED };

const sendSchema = {
  operationId: 'sendEmail',
  tags: ['resend'],
  summary: 'Send an email',
  description: `Like POST /send, in the shape of Resend's API. Unsupported fields are refused with an error
that describes the alternative.

A repeated request with the same \`Idempotency-Key\` gets the same response, and nothing is sent twice.`,
  headers: z.object({ 'Idempotency-Key': idempotencyKey, ...TRACE_HEADERS }),
  body: emailRequest,
  response: resendResponses({ 200: success('The email was accepted.', emailId, accepted) }, SENDING),
};

const batchSchema = {
  operationId: 'sendEmailBatch',
  tags: ['resend'],
  summary: 'Send up to 100 emails',
  description: `With \`x-batch-validation: strict\` either all emails are accepted or none: all are
validated before the first is accepted. If the service fails after accepting some emails, the error has
their ids in \`accepted\`. With \`permissive\` each email is handled separately, and \`errors\` lists the
refused ones. A batch counts as its emails towards the rate limit.

A repeated request with the same \`Idempotency-Key\` gets the same response, and nothing is sent twice.`,
  headers: z.object({
    'x-batch-validation': z
      .enum(['strict', 'permissive'])
      .optional()
      .meta({ description: 'How an invalid email affects the batch. The default is `strict`.' }),
    'Idempotency-Key': idempotencyKey,
    ...TRACE_HEADERS,
  }),
  body: emailBatchRequest,
  response: resendResponses(
    {
      200: success(
        'The batch was accepted, in permissive mode possibly in part.',
        emailBatchAnswer,
        accepted,
      ),
    },
    SENDING,
  ),
};

const getSchema = {
  operationId: 'getEmail',
  tags: ['resend'],
  summary: 'Get an email',
  description:
    'GET /messages/{id} has more detail: each recipient, each attempt and the reason of a failure.',
  params: messageParams,
  response: resendResponses({ 200: success('The email.', email) }, [...KEY_CODES, 'message_not_found']),
};

const listSchema = {
  operationId: 'listEmails',
  tags: ['resend'],
  summary: 'List emails',
  description:
    'The emails of this key, or all emails for an admin key, newest first. GET /messages can also filter.',
  querystring: emailQuery,
  response: resendResponses({ 200: success('A page of emails.', emailList) }, [
    ...KEY_CODES,
    'validation_failed',
  ]),
};

const updateSchema = {
  operationId: 'updateEmail',
  tags: ['resend'],
  summary: 'Reschedule an email',
  description:
    'Changes the time of a scheduled email, to at most one year ahead. A time in the past means now.',
  params: messageParams,
  body: reschedule,
  response: resendResponses({ 200: success('The id of the email.', emailReference) }, [
    ...KEY_CODES,
    ...BODY,
    'message_not_found',
    'not_reschedulable',
  ]),
};

const cancelSchema = {
  operationId: 'cancelEmail',
  tags: ['resend'],
  summary: 'Cancel an email',
  description: 'Cancels an email that is scheduled or waiting to be sent.',
  params: messageParams,
  response: resendResponses({ 200: success('The id of the canceled email.', emailReference) }, [
    ...KEY_CODES,
    ...BODY_CODES,
    'message_not_found',
    'not_cancelable',
  ]),
};

/**
 * /emails: Resend's API (https://resend.com/docs/api-reference/emails). Its SDKs work with this
 * service as their base URL.
 */
export const resendRoutes: FastifyPluginAsyncZod<ResendOptions> = async (app, { submission, messages }) => {
  const onRequest = submission.refuseEarly;

  app.post(
    '/emails',
    { schema: sendSchema, config: { scope: 'send' }, onRequest },
    async (request, reply) => {
      const draft = submission.toDraft(request.body);
      const response = await submission.submitOne(draft, request, reply, {
        waits: false,
        toResponse: ({ id }) => toJsonResponse(200, { id }),
      });
      return sendCached(response, reply);
    },
  );

  app.post(
    '/emails/batch',
    { schema: batchSchema, config: { scope: 'send', maxValues: MAX_BATCH_VALUES }, onRequest },
    async (request, reply) => sendCached(await submitBatch(request.body, request, reply, submission), reply),
  );

  app.get('/emails/:id', { schema: getSchema, config: { scope: 'read' } }, async (request, reply) =>
    sendInPieces(toEmail(await messages.get(messageIdOf(request), callerOf(request))), reply),
  );

  app.get('/emails', { schema: listSchema, config: { scope: 'read' } }, async (request) => {
    const { limit, after } = request.query;
    const found = await messages.list(
      {
        ...ALL_MESSAGES,
        limit: limit + 1,
        after: after === undefined ? null : await positionOf(after, request),
      },
      callerOf(request),
    );
    return { object: 'list', has_more: found.length > limit, data: found.slice(0, limit).map(toEmailEntry) };
  });

  /** @throws {AppError} `validation_failed` if there is no such email */
  async function positionOf(id: string, request: FastifyRequest): Promise<ListPosition> {
    return messages.get(id, callerOf(request)).catch((error) => {
      if (!(error instanceof AppError && error.code === 'message_not_found')) throw error;
      const detail = 'There is no such email, or it is no longer stored: start again at the first page.';
      throw invalidFields([{ pointer: 'query:after', code: 'invalid_value', detail }]);
    });
  }

  app.patch('/emails/:id', { schema: updateSchema, config: { scope: 'send' } }, async (request) => {
    const { id } = await messages.reschedule(
      messageIdOf(request),
      request.body.scheduled_at,
      callerOf(request),
    );
    return { object: 'email', id };
  });

  app.post('/emails/:id/cancel', { schema: cancelSchema, config: { scope: 'send' } }, async (request) => {
    const { id } = await messages.cancel(messageIdOf(request), callerOf(request));
    return { object: 'email', id };
  });
};
