import { z } from 'zod';
import { NOTICE_STATUSES } from '../../core/ports/outbox.ts';
import { cursor, limit, nextCursor } from '../validation/pagination.ts';
import { optionalBody, strictObject } from '../validation/validation.ts';

const MAX_URL_LENGTH = 2048;

const endpoint = z.string().meta({
  description: 'The URL of the endpoint, without its query. Complete for admins.',
  examples: ['https://crm.example.com/hooks/mail'],
});
const eventId = z
  .string()
  .meta({ description: 'The `webhook-id` of its calls.', examples: ['evt_01k7m4q2'] });

/** The body is optional, as is the URL. */
export const endpointTestRequest = optionalBody(
  strictObject({
    url: z.string().max(MAX_URL_LENGTH).optional().meta({
      description:
        'A configured endpoint: the `webhook_url` of the key, or any one for an admin. Default: that of the key, or else WEBHOOK_URL for an admin.',
    }),
  }),
);

export const endpointTest = z.object({
  endpoint,
  event_id: eventId,
  delivered: z.boolean().meta({ description: 'Whether the endpoint responded with a 2xx status.' }),
  reason: z
    .string()
    .nullable()
    .meta({ description: 'Why the call failed. Null if it was delivered.', examples: ['HTTP 401'] }),
  duration_ms: z.int().meta({ description: 'Duration of the call, in ms.' }),
});

export type EndpointTestResource = z.output<typeof endpointTest>;

const time = z.iso.datetime();

/** One event for one endpoint. */
export const webhookDelivery = z.object({
  id: z.string().meta({ examples: ['ntc_01k7m4q2'] }),
  event_id: eventId,
  type: z.string().meta({ examples: ['message.sent'] }),
  message: z
    .string()
    .nullable()
    .meta({ description: 'The id of the message. Null for events of accounts.', examples: ['msg_01k7m4q2'] }),
  account: z.string().meta({ description: 'The account of the message, or that the event is about.' }),
  endpoint,
  status: z.enum(NOTICE_STATUSES).meta({
    description:
      '`waiting`: for its first call or a retry. `failed`: given up; kept for RETAIN, or until waiting deliveries need the space. Delivered events are not kept.',
  }),
  calls: z.int().meta({ description: 'Number of failed calls.' }),
  reason: z.string().nullable().meta({ description: 'Why the latest call failed, or why it was given up.' }),
  created_at: time.meta({ description: 'When the event happened.' }),
  next_call_at: time.nullable().meta({ description: 'When it is called next. Null if it failed.' }),
  finished_at: time.nullable().meta({ description: 'When it was given up. Null while it waits.' }),
});

export const webhookDeliveryList = z.object({
  deliveries: z.array(webhookDelivery),
  next_cursor: nextCursor,
});

export const webhookDeliveryQuery = strictObject({
  status: z.enum(NOTICE_STATUSES).optional().meta({ description: 'Only deliveries of this status.' }),
  message: z.string().optional().meta({ description: 'Only deliveries about the message with this id.' }),
  limit,
  cursor: cursor(([position, ...rest]) => (rest.length === 0 && position !== undefined ? position : null)),
});

export const webhookDeliveryParams = z.object({
  id: z.string().meta({ description: 'The `id` of a delivery, as in GET /webhooks/deliveries.' }),
});

export type WebhookDeliveryResource = z.output<typeof webhookDelivery>;
