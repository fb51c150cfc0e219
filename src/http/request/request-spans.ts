import type { FastifyInstance } from 'fastify';
import type { RequestTracer } from '../../core/ports/request-tracer.ts';
import { isPolled } from './access-log.ts';

/**
 * Records a span for each request, apart from those that machines and browsers poll. Runs after
 * `logRequests`, which reads the trace of the caller.
 */
export function traceRequests(app: FastifyInstance, tracer: RequestTracer): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { method, routeOptions, protocol, raw } = request;
    if (isPolled(routeOptions.url)) return done();
    const span = tracer.start({
      method,
      route: routeOptions.url,
      // A trusted proxy can send any text as X-Forwarded-Proto.
      scheme: protocol === 'https' ? 'https' : 'http',
      httpVersion: raw.httpVersion,
      parent: request.trace,
    });
    request.trace = span.trace;
    reply.raw.on('close', () => {
      const status = reply.raw.writableEnded ? reply.statusCode : undefined;
      span.end({ status, code: request.failure?.code, messageId: request.messageId });
    });
    done();
  });
}
