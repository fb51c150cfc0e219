import type { FastifyRequest } from 'fastify';
import { z } from 'zod';

/** The path of one message. Without an example: Swagger UI would put it into the form, and no message has it. */
export const messageParams = z.object({
  id: z.string().meta({ description: 'The `id` of a message.' }),
});

/** What the log calls `msg_id`. Anything else in its place is in the path of the log line. */
const MESSAGE_ID = /^msg_\w{1,60}$/;

/** The id in the path, noted for the log line. */
export function idOf(request: FastifyRequest<{ Params: z.output<typeof messageParams> }>): string {
  const { id } = request.params;
  if (MESSAGE_ID.test(id)) request.messageId = id;
  return id;
}
