import type { FastifyRequest } from 'fastify';
import { z } from 'zod';

/** The path of one message. Without an example: Swagger UI would put it into the form, and no message has it. */
export const messageParams = z.object({ id: z.string().meta({ description: 'The `id` of an accepted message.' }) });

/** The id in the path, noted for the log line. */
export function idOf(request: FastifyRequest<{ Params: z.output<typeof messageParams> }>): string {
  request.messageId = request.params.id;
  return request.params.id;
}
