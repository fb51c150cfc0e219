import type { z } from 'zod';
import { accountEvent, followUpEvent, messageEvent } from '../schemas/webhook.ts';
import { toSchema } from './json-schema.ts';
import type { Operation } from './operation.ts';

const HEADERS = [
  {
    name: 'webhook-id',
    in: 'header',
    required: true,
    schema: { type: 'string', examples: ['evt_01k7m4q2'] },
    description: 'The id of the event. Retries have the same id, so it can be used to ignore duplicates.',
  },
  {
    name: 'webhook-timestamp',
    in: 'header',
    required: true,
    schema: { type: 'integer', examples: [1795341600] },
    description: 'When this attempt was made, in seconds since the epoch.',
  },
  {
    name: 'webhook-signature',
    in: 'header',
    required: true,
    schema: { type: 'string', examples: ['v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4='] },
    description:
      'One or more signatures, separated by spaces: `v1,` and the base64 HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}` for each secret in WEBHOOK_SECRET, or in the `webhook_secret` of the key whose `webhook_url` is called.',
  },
];

const RESPONSES = {
  '2XX': { description: 'The event was received.' },
  '410': {
    description:
      'The endpoint wants no more events. Pending events are dropped, and the URL is not called again until a restart or SIGHUP, or until it accepts a test or a replayed event.',
  },
  default: {
    description:
      'Any other response, or none within 15 seconds: retried for 24 hours, at intervals from 5 seconds to 2 hours. `Retry-After` is honored.',
  },
};

/**
 * What the service sends to WEBHOOK_URL and to the `webhook_url` of a key, for the `webhooks` of
 * the document.
 */
export function describeWebhooks(): Record<string, { readonly post: Operation }> {
  return {
    message: describe(
      'messageEvent',
      'A message changed',
      'Sent when a message is deferred or settled, to WEBHOOK_URL and to the `webhook_url` of the key that sent the message. If the message has a trace, the call has its `traceparent` and `tracestate` headers.',
      messageEvent,
    ),
    followUp: describe(
      'followUpEvent',
      'A mail followed a message',
      'Sent when a bounce, a delay or a reply has arrived in the inbox of the account, if INBOUND is set, to the same endpoints as events of messages. The status of the message stays as it was.',
      followUpEvent,
    ),
    account: describe(
      'accountEvent',
      'An account was paused or resumed',
      'Sent to WEBHOOK_URL. While an account is paused, its mail waits.',
      accountEvent,
    ),
  };
}

function describe(operationId: string, summary: string, description: string, body: z.ZodType) {
  return {
    post: {
      operationId,
      summary,
      tags: ['webhooks'],
      description,
      // No API key: the signature authenticates the call.
      security: [],
      parameters: [...HEADERS],
      requestBody: { required: true, content: { 'application/json': { schema: toSchema(body, 'output') } } },
      responses: RESPONSES,
    },
  };
}
