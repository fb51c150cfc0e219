import { extname } from 'node:path';
import { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify';
import { Tinypool } from 'tinypool';
import { AppError } from '../core/errors.ts';
import { isOptionalBody } from './fields.ts';
import { parseJson } from './json.ts';
import { handOver, type LargeBody, type LargeBodyRead } from './large-body.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How many values a body may have, where that is not the usual number. */
    maxValues?: number;
  }
}

/** From here on a body is read in a thread of its own: 20 MB would hold up everyone else for 100 ms. */
const LARGE_BYTES = 128 * 1024;
const IDLE_MS = 30_000;

/** Reads JSON bodies, and nothing else; a large one comes with its attachments decoded. */
export function readJsonBodies(app: FastifyInstance): void {
  let pool: Tinypool | undefined;
  app.addHook('onClose', () => pool?.destroy());

  async function readLarge(chunks: Uint8Array[], maxValues: number | undefined): Promise<unknown> {
    pool ??= new Tinypool({
      filename: new URL(`./large-body${extname(import.meta.url)}`, import.meta.url).href,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: IDLE_MS,
    });
    const read: LargeBodyRead = await pool.run(
      handOver(
        { chunks, maxValues } satisfies LargeBody,
        chunks.map(({ buffer }) => buffer),
      ),
    );
    if ('refusal' in read) throw new AppError('invalid_json', { detail: read.refusal });
    return read.body;
  }

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (request, payload, done) => {
    collect(request, payload, (error, chunks, bytes) => {
      if (error) return done(error);
      if (bytes === 0 && needsNone(request)) return done(null, undefined);
      const { maxValues } = request.routeOptions.config;
      if (bytes > LARGE_BYTES) {
        readLarge(chunks, maxValues).then((body) => done(null, body), done);
        return;
      }
      let body: unknown;
      try {
        body = parseJson(Buffer.concat(chunks, bytes), maxValues);
      } catch (refusal) {
        return done(refusal as Error);
      }
      done(null, body);
    });
  });
}

/** Many clients say that JSON comes, and send none. */
function needsNone({ routeOptions }: FastifyRequest): boolean {
  const body = routeOptions.schema?.body;
  return body === undefined || isOptionalBody(body);
}

/** The body in pieces, each with memory of its own: to join 20 MB takes as long as to parse them. */
function collect(
  { headers, routeOptions }: FastifyRequest,
  payload: FastifyRequest['raw'],
  done: (error: Error | null, chunks: Uint8Array[], bytes: number) => void,
): void {
  const limit = routeOptions.bodyLimit;
  const chunks: Uint8Array[] = [];
  let bytes = 0;

  function finish(error: Error | null = null) {
    payload.off('data', take).off('end', finish).off('error', finish);
    done(error, chunks, bytes);
  }
  function take(chunk: Buffer) {
    bytes += chunk.length;
    if (bytes > limit) finish(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
    else chunks.push(new Uint8Array(chunk));
  }
  if (Number(headers['content-length']) > limit) done(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE(), [], 0);
  else payload.on('data', take).on('end', finish).on('error', finish);
}
