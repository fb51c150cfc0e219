import { extname } from 'node:path';
import { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify';
import { Tinypool } from 'tinypool';
import { AppError } from '../../../core/errors.ts';
import { isEncoded, unsupportedMediaType } from '../../errors/media-type.ts';
import { isOptionalBody } from '../../validation/validation.ts';
import { refuseCrossSite } from '../cross-site.ts';
import type { BodyCapacity, BodyHold } from './body-capacity.ts';
import { readForm } from './form.ts';
import { addFiles, sortParts } from './form-message.ts';
import type { LargeBody, LargeBodyResult } from './large-body.ts';
import { parseJson } from './strict-json.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Counts the bytes of the body in memory; null without a body. */
    bodyHold: BodyHold | null;
  }
  interface FastifyContextConfig {
    /** Maximum number of JSON values in the body, where it differs from the default. */
    maxValues?: number;
  }
}

/** Larger bodies are parsed in a worker thread: 20 MB would block the event loop for 100 ms. */
const LARGE_BYTES = 128 * 1024;
const FORM = 'multipart/form-data';
/** How long an unused worker thread is kept, in ms. */
const IDLE_MS = 30_000;

/**
 * Accepts only JSON bodies, and forms on routes that accept them, and bounds their memory. The large
 * attachments of a large body arrive decoded.
 */
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
      reply.raw.on('close', hold.release);
    }
    done();
  });

  async function parseLarge(bytes: Uint8Array, maxValues: number | undefined): Promise<unknown> {
    pool ??= new Tinypool({
      filename: new URL(`./large-body${extname(import.meta.url)}`, import.meta.url).href,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: IDLE_MS,
    });
    const result: LargeBodyResult = await pool.run({ bytes, maxValues } satisfies LargeBody);
    if (result.kind === 'refused') throw new AppError('invalid_json', { detail: result.detail });
    return result.body;
  }

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (request, payload, done) => {
    if (isEncoded(request.headers)) return done(unsupportedMediaType(request.headers));
    collect(request, payload, (error, bytes) => {
      if (error) return done(error);
      if (bytes.length === 0 && acceptsNoBody(request)) return done(null, undefined);
      const { maxValues } = request.routeOptions.config;
      if (bytes.length > LARGE_BYTES) {
        parseLarge(bytes, maxValues).then((body) => done(null, body), done);
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

  app.addContentTypeParser(FORM, async (request: FastifyRequest, payload: FastifyRequest['raw']) => {
    const { schema, config } = request.routeOptions;
    if (!schema?.consumes?.includes(FORM) || isEncoded(request.headers))
      throw unsupportedMediaType(request.headers);
    refuseCrossSite(request);
    const { message, files } = sortParts(await readForm(request, payload));
    const body =
      message.length > LARGE_BYTES
        ? await parseLarge(message, config.maxValues)
        : parseJson(Buffer.from(message.buffer), config.maxValues);
    return addFiles(body, files);
  });
}

/** Many clients send the Content-Type of JSON without a body. */
function acceptsNoBody({ routeOptions }: FastifyRequest): boolean {
  const body = routeOptions.schema?.body;
  return body === undefined || isOptionalBody(body);
}

const EMPTY = Buffer.alloc(0);
/** Initial buffer for a body without a declared length. */
const FIRST_BYTES = 4096;

/**
 * Collects the body. A body that arrives in one chunk is not copied. Otherwise each chunk is copied
 * into one buffer on arrival, because many small chunks take far more memory than they count for.
 * The buffer of a large body is shared with the worker thread, because copying 20 MB would take as
 * long as parsing them.
 */
function collect(
  { headers, routeOptions, bodyHold }: FastifyRequest,
  payload: FastifyRequest['raw'],
  done: (error: Error | null, bytes: Buffer) => void,
): void {
  const limit = routeOptions.bodyLimit;
  const declared = Number(headers['content-length'] ?? 0);
  let bytes: Buffer = EMPTY;
  let length = 0;

  function finish(error: Error | null = null) {
    payload.off('data', onData).off('end', finish).off('error', finish);
    if (error) bodyHold?.release();
    done(error, error ? EMPTY : bytes.subarray(0, length));
  }
  function onData(chunk: Buffer) {
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
    if (chunk.length === declared) bytes = chunk;
    else append(chunk, needed);
    length = needed;
  }
  function append(chunk: Buffer, needed: number) {
    if (needed > bytes.length) {
      const grown = allocate(Math.min(limit, Math.max(declared, needed, bytes.length * 2, FIRST_BYTES)));
      grown.set(bytes.subarray(0, length));
      bytes = grown;
    }
    bytes.set(chunk, length);
  }
  function start() {
    if (declared > limit) throw new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE();
    bodyHold?.check(declared);
    payload.on('data', onData).on('end', finish).on('error', finish);
  }
  try {
    start();
  } catch (refusal) {
    done(refusal as Error, EMPTY);
  }
}

function allocate(bytes: number): Buffer {
  return bytes > LARGE_BYTES ? Buffer.from(new SharedArrayBuffer(bytes)) : Buffer.allocUnsafe(bytes);
}
