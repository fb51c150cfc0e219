import type { FastifyRequest } from 'fastify';
import { z } from 'zod';

/** The path of one message. */
export const messageParams = z.object({ id: z.string().meta({ examples: ['msg_01k7m4q2'] }) });

/** The id in the path, noted for the log line. */
export function idOf(request: FastifyRequest<{ Params: z.output<typeof messageParams> }>): string {
  request.messageId = request.params.id;
  return request.params.id;
}
