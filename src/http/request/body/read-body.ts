import { extname } from 'node:path';
import { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify';
import { kTransferable, kValue, Tinypool } from 'tinypool';
import { AppError } from '../../../core/errors.ts';
import { acceptsForms, FORM, isEncoded, unsupportedMediaType } from '../../errors/media-type.ts';
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

  /** @param blocks moved to the worker thread, so they are detached afterwards */
  async function parseLarge(
    blocks: readonly Uint8Array<ArrayBuffer>[],
    maxValues: number | undefined,
  ): Promise<unknown> {
    pool ??= new Tinypool({
      filename: new URL(`./large-body${extname(import.meta.url)}`, import.meta.url).href,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: IDLE_MS,
    });
    const task: LargeBody = { blocks, maxValues };
    const buffers = blocks.map(({ buffer }) => buffer);
    const result: LargeBodyResult = await pool.run(
      Tinypool.move({ [kTransferable]: buffers, [kValue]: task }),
    );
    if (result.kind === 'refused') throw new AppError('invalid_json', { detail: result.detail });
    return result.body;
  }

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (request, payload, done) => {
    if (isEncoded(request.headers)) return done(unsupportedMediaType(request));
    collect(request, payload, (error, blocks, length) => {
      if (error) return done(error);
      if (length === 0 && acceptsNoBody(request)) return done(null, undefined);
      const { maxValues } = request.routeOptions.config;
      if (length > LARGE_BYTES) {
        parseLarge(blocks, maxValues).then((body) => done(null, body), done);
        return;
      }
      let body: unknown;
      try {
        body = parseJson(toOne(blocks), maxValues);
      } catch (refusal) {
        return done(refusal as Error);
      }
      done(null, body);
    });
  });

  app.addContentTypeParser(FORM, async (request: FastifyRequest, payload: FastifyRequest['raw']) => {
    const { config } = request.routeOptions;
    if (!acceptsForms(request) || isEncoded(request.headers)) throw unsupportedMediaType(request);
    refuseCrossSite(request);
    const { message, files } = sortParts(await readForm(request, payload));
    const body =
      message.length > LARGE_BYTES
        ? await parseLarge([message], config.maxValues)
        : parseJson(Buffer.from(message.buffer), config.maxValues);
    return addFiles(body, files);
  });
}

function toOne(blocks: readonly Buffer[]): Buffer {
  const [first = EMPTY] = blocks;
  return blocks.length > 1 ? Buffer.concat(blocks) : first;
}

/** Many clients send the Content-Type of JSON without a body. */
function acceptsNoBody({ routeOptions }: FastifyRequest): boolean {
  const body = routeOptions.schema?.body;
  return body === undefined || isOptionalBody(body);
}

/** Smaller chunks are copied into blocks. */
const MIN_CHUNK_BYTES = 16 * 1024;
const BLOCK_BYTES = 64 * 1024;
/** Size of the first block of a body without a declared length. */
const FIRST_BYTES = 4096;
const EMPTY = Buffer.alloc(0);

/**
 * Collects the body, in one buffer or several. A body that arrives in one chunk is not copied, and
 * neither are large chunks. Small ones are copied on arrival, because many of them take far more
 * memory than they count for.
 */
function collect(
  { headers, routeOptions, bodyHold }: FastifyRequest,
  payload: FastifyRequest['raw'],
  done: (error: Error | null, blocks: readonly Buffer<ArrayBuffer>[], length: number) => void,
): void {
  const limit = routeOptions.bodyLimit;
  const declared = Number(headers['content-length'] ?? 0);
  const blocks: Buffer<ArrayBuffer>[] = [];
  let block = EMPTY;
  let used = 0;
  let length = 0;

  function finish(error: Error | null = null) {
    payload.off('data', onData).off('end', finish).off('error', finish);
    if (error) bodyHold?.release();
    else endBlock();
    done(error, blocks, length);
  }
  function onData(chunk: Buffer<ArrayBuffer>) {
    try {
      add(chunk);
    } catch (refusal) {
      finish(refusal as Error);
    }
  }
  function add(chunk: Buffer<ArrayBuffer>) {
    if (length + chunk.length > limit) throw new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE();
    bodyHold?.add(chunk.length);
    const isWholeBuffer = chunk.length === chunk.buffer.byteLength;
    if (chunk.length === declared || (isWholeBuffer && chunk.length >= MIN_CHUNK_BYTES)) {
      endBlock();
      blocks.push(chunk);
    } else copy(chunk);
    length += chunk.length;
  }
  function copy(chunk: Buffer) {
    const copied = chunk.copy(block, used);
    used += copied;
    if (copied === chunk.length) return;
    endBlock();
    block = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, Math.max(declared - length, length, FIRST_BYTES)));
    copy(chunk.subarray(copied));
  }
  function endBlock() {
    if (used > 0) blocks.push(block.subarray(0, used));
    block = EMPTY;
    used = 0;
  }
  function start() {
    if (declared > limit) throw new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE();
    bodyHold?.check(declared);
    payload.on('data', onData).on('end', finish).on('error', finish);
  }
  try {
    start();
  } catch (refusal) {
    done(refusal as Error, [], 0);
  }
}
