import { extname } from 'node:path';
import { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify';
import { Tinypool } from 'tinypool';
import { AppError } from '../../core/errors.ts';
import { isOptionalBody } from '../fields.ts';
import { parseJson } from './json.ts';
import type { LargeBody, LargeBodyRead } from './large.ts';

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

  async function readLarge(bytes: Uint8Array, maxValues: number | undefined): Promise<unknown> {
    pool ??= new Tinypool({
      filename: new URL(`./large${extname(import.meta.url)}`, import.meta.url).href,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: IDLE_MS,
    });
    const read: LargeBodyRead = await pool.run({ bytes, maxValues } satisfies LargeBody);
    if ('refusal' in read) throw new AppError('invalid_json', { detail: read.refusal });
    return read.body;
  }

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (request, payload, done) => {
    collect(request, payload, (error, bytes) => {
      if (error) return done(error);
      if (bytes.length === 0 && needsNone(request)) return done(null, undefined);
      const { maxValues } = request.routeOptions.config;
      if (bytes.length > LARGE_BYTES) {
        readLarge(bytes, maxValues).then((body) => done(null, body), done);
        return;
      }
      let body: unknown;
      try {
        body = parseJson(bytes, maxValues);
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

const NONE = Buffer.alloc(0);

/**
 * The body. If it says that it will be large, each piece is put in its place as it comes, in memory that the other thread sees too: to join
 * and hand over 20 MB at the end would take as long as to parse them.
 */
function collect(
  { headers, routeOptions }: FastifyRequest,
  payload: FastifyRequest['raw'],
  done: (error: Error | null, bytes: Buffer) => void,
): void {
  const limit = routeOptions.bodyLimit;
  const declared = Number(headers['content-length']);
  const shared = declared > LARGE_BYTES && declared <= limit ? Buffer.from(new SharedArrayBuffer(declared)) : null;
  const chunks: Buffer[] = [];
  let length = 0;

  function finish(error: Error | null = null) {
    payload.off('data', take).off('end', finish).off('error', finish);
    done(error, error ? NONE : (shared ?? Buffer.concat(chunks, length)));
  }
  function take(chunk: Buffer) {
    if (length + chunk.length > limit) return finish(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
    if (shared) shared.set(chunk, length);
    else chunks.push(chunk);
    length += chunk.length;
  }
  if (declared > limit) done(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE(), NONE);
  else payload.on('data', take).on('end', finish).on('error', finish);
}
