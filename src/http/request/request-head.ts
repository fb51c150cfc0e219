import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, onRequestHookHandler } from 'fastify';
import { AppError } from '../../core/errors.ts';

/**
 * Headers that must not be repeated. Node silently keeps the first one or joins them; a proxy may
 * have read the last one.
 */
const SINGLE: ReadonlySet<string> = new Set(['host', 'authorization', 'content-type', 'x-api-key']);

/** RFC 3986, sections 3.2.2 and 3.2.3. May be empty (RFC 9112, section 3.2). */
const HOST = /^(?:\[[\da-f:.]+(?:%[\w.~-]+)?\]|(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})*)(?::\d*)?$/i;

/**
 * How long the body of a request with ambiguous framing is discarded before the response, in ms.
 */
const DISCARD_MS = 1000;

/**
 * Refuses requests whose headers a proxy could interpret differently, before any other hook runs.
 */
export function checkRequestHeads(app: FastifyInstance): void {
  /**
   * Connections that had a request with ambiguous framing: later requests may be part of its body.
   */
  const ambiguous = new WeakSet<Socket>();

  const refuseAmbiguousFraming: onRequestHookHandler = ({ raw }, reply, done) => {
    if (ambiguous.has(raw.socket)) {
      reply.hijack();
      return;
    }
    const detail = framingError(raw);
    if (detail === null) return done();
    ambiguous.add(raw.socket);
    reply.raw.setHeader('connection', 'close');
    // Closing a connection with unread bytes resets it, and the client might never see the
    // response.
    const refuse = () => {
      clearTimeout(timer);
      raw.off('close', refuse);
      done(new AppError('invalid_json', { detail }));
    };
    const timer = setTimeout(refuse, DISCARD_MS);
    raw.resume().on('close', refuse);
  };

  app.addHook('onRequest', refuseAmbiguousFraming);
  app.addHook('onRequest', ({ raw }, _reply, done) => {
    const detail = headerError(raw);
    done(detail === null ? undefined : new AppError('invalid_json', { detail }));
  });
}

/**
 * RFC 9112, section 6.1. Node refuses most violations, but accepts other codings before `chunked`,
 * and HTTP/1.0.
 */
function framingError({ headers, httpVersion }: IncomingMessage): string | null {
  const coding = headers['transfer-encoding'];
  if (coding === undefined) return null;
  if (httpVersion !== '1.1')
    return 'HTTP/1.0 has no Transfer-Encoding: send Content-Length, or use HTTP/1.1.';
  return coding.toLowerCase() === 'chunked' ? null : 'The only accepted Transfer-Encoding is "chunked".';
}

/** RFC 9112, section 3.2, and RFC 9110, section 5.3. */
function headerError({ headers, rawHeaders, httpVersion }: IncomingMessage): string | null {
  // Node merges repeated headers. If it merged none, none is repeated.
  const repeated = Object.keys(headers).length * 2 === rawHeaders.length ? null : repeatedHeader(rawHeaders);
  if (repeated !== null) return `The ${repeated} header is repeated: send it once.`;
  const { host } = headers;
  if (host === undefined) return httpVersion === '1.1' ? 'The Host header is missing.' : null;
  return HOST.test(host) ? null : 'The Host header is not a host name with an optional port.';
}

/** Returns the name of a repeated header that must be single, as the client wrote it. */
function repeatedHeader(rawHeaders: readonly string[]): string | null {
  const seen = new Set<string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const key = name.toLowerCase();
    if (!SINGLE.has(key)) continue;
    if (seen.has(key)) return name;
    seen.add(key);
  }
  return null;
}
