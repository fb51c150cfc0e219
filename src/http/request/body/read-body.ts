import { extname } from 'node:path';
import { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify';
import { Tinypool } from 'tinypool';
import { AppError } from '../../../core/errors.ts';
import { isOptionalBody } from '../../validation/validation.ts';
import { isEncoded, refuseMediaType } from '../media-type.ts';
import type { BodyCapacity, BodyHold } from './body-capacity.ts';
import type { LargeBody, LargeBodyRead } from './large-body.ts';
import { parseJson } from './strict-json.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The bytes of its body that are in memory. */
    bodyHold: BodyHold | null;
  }
  interface FastifyContextConfig {
    /** How many values a body may have, where that is not the usual number. */
    maxValues?: number;
  }
}

/** From here on a body is read in a thread of its own: 20 MB would hold up everyone else for 100 ms. */
const LARGE_BYTES = 128 * 1024;
const IDLE_MS = 30_000;

/** Reads JSON bodies, and nothing else; a large one comes with its attachments decoded. */
export function readJsonBodies(app: FastifyInstance, capacity: BodyCapacity): void {
  let pool: Tinypool | undefined;
  app.addHook('onClose', () => pool?.destroy());
  app.decorateRequest('bodyHold', null);
  app.addHook('preParsing', (request, reply, _payload, done) => {
    const { caller, headers } = request;
    if (
      caller !== null &&
      (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined)
    ) {
      const hold = capacity.open(caller.name);
      request.bodyHold = hold;
      reply.raw.once('close', () => hold.release());
    }
    done();
  });

  async function readLarge(bytes: Uint8Array, maxValues: number | undefined): Promise<unknown> {
    pool ??= new Tinypool({
      filename: new URL(`./large-body${extname(import.meta.url)}`, import.meta.url).href,
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
    if (isEncoded(request.headers)) return done(refuseMediaType(request.headers));
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
/** Memory for a body that does not say how long it is, to begin with. */
const FIRST_BYTES = 4096;

/**
 * The body. Each piece is put in its place as it comes: kept by themselves, many small ones would take far more memory than they count for.
 * The memory of a large body is shared with the other thread: to hand over 20 MB at the end would take as long as to parse them.
 */
function collect(
  { headers, routeOptions, bodyHold }: FastifyRequest,
  payload: FastifyRequest['raw'],
  done: (error: Error | null, bytes: Buffer) => void,
): void {
  const limit = routeOptions.bodyLimit;
  const declared = Number(headers['content-length'] ?? 0);
  let bytes: Buffer = NONE;
  let length = 0;

  function finish(error: Error | null = null) {
    payload.off('data', take).off('end', finish).off('error', finish);
    if (error) bodyHold?.release();
    done(error, error ? NONE : bytes.subarray(0, length));
  }
  function take(chunk: Buffer) {
    try {
      add(chunk);
    } catch (refusal) {
      finish(refusal as Error);
    }
  }
  function add(chunk: Buffer) {
    const needed = length + chunk.length;
    if (needed > limit) throw new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE();
    bodyHold?.add(chunk.length);
    if (needed > bytes.length) {
      const grown = allocate(Math.min(limit, Math.max(declared, needed, bytes.length * 2, FIRST_BYTES)));
      grown.set(bytes.subarray(0, length));
      bytes = grown;
    }
    bytes.set(chunk, length);
    length = needed;
  }
  function start() {
    if (declared > limit) throw new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE();
    bodyHold?.check(declared);
    payload.on('data', take).on('end', finish).on('error', finish);
  }
  try {
    start();
  } catch (refusal) {
    done(refusal as Error, NONE);
  }
}

function allocate(bytes: number): Buffer {
  return bytes > LARGE_BYTES ? Buffer.from(new SharedArrayBuffer(bytes)) : Buffer.allocUnsafe(bytes);
}
