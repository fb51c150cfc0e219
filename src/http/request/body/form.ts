import { errorCodes, type FastifyRequest } from 'fastify';
import { unreadable } from './strict-json.ts';

/** A part of a form, as it arrived. */
export interface FormPart {
  /** Content-Disposition, or "" if the part has none. */
  readonly disposition: string;
  /** Content-Type, or "" if the part has none. */
  readonly type: string;
  /** Content-Transfer-Encoding in lower case, or "" if the part has none. */
  readonly encoding: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Each part takes memory that no limit on bytes bounds: more than a message has attachments. */
const MAX_PARTS = 200;
const BOUNDARY = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i;

/**
 * Reads a `multipart/form-data` body (RFC 7578), part by part as it arrives.
 *
 * @throws {AppError} `invalid_json` if it is malformed; `queue_full`
 * @throws {FastifyError} if it has more bytes than `bodyLimit`
 */
export async function readForm(request: FastifyRequest, payload: FastifyRequest['raw']): Promise<FormPart[]> {
  const { headers, routeOptions, bodyHold } = request;
  const [, quoted, token] = BOUNDARY.exec(headers['content-type'] ?? '') ?? [];
  const boundary = quoted ?? token;
  if (boundary === undefined)
    throw unreadable('The Content-Type has no boundary: let the HTTP client set this header.');
  const declared = Number(headers['content-length'] ?? 0);
  if (declared > routeOptions.bodyLimit) throw new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE();
  bodyHold?.check(declared);
  // Loaded by the first form.
  const { Dicer } = await import('@fastify/busboy');

  return new Promise((resolve, reject) => {
    const splitter = new Dicer({ boundary });
    const parts: FormPart[] = [];
    let length = 0;
    let begun = 0;
    let open = 0;
    let isSplit = false;
    let hasArrived = false;

    function stop() {
      payload.off('data', onData).off('end', onEnd).off('error', fail);
    }
    function fail(error: Error) {
      stop();
      bodyHold?.release();
      reject(error);
    }
    function onData(chunk: Buffer) {
      length += chunk.length;
      try {
        if (length > routeOptions.bodyLimit) throw new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE();
        bodyHold?.add(chunk.length);
        splitter.write(chunk);
      } catch (refusal) {
        fail(refusal as Error);
      }
    }
    function onEnd() {
      hasArrived = true;
      splitter.end();
      settle();
    }
    function settle() {
      if (!isSplit || !hasArrived || open > 0) return;
      stop();
      resolve(parts);
    }
    const breakOff = () => fail(unreadable('The form ends before its last boundary.'));

    splitter
      .on('part', (part) => {
        const index = begun++;
        if (index >= MAX_PARTS) fail(unreadable(`The form has more than ${MAX_PARTS} parts.`));
        open++;
        const bytes = growingBytes();
        let fields: PartHeaders = {};
        part
          .on('header', (header) => {
            fields = header as PartHeaders;
          })
          .on('data', (chunk) => bytes.append(chunk as Buffer))
          .on('end', () => {
            parts[index] = toPart(fields, bytes.take());
            open--;
            settle();
          })
          .on('error', breakOff);
      })
      .on('finish', () => {
        isSplit = true;
        settle();
      })
      .on('error', breakOff);
    payload.on('data', onData).on('end', onEnd).on('error', fail);
  });
}

/** Values of each header of a part by its name in lower case. Each character is one byte. */
type PartHeaders = Readonly<Record<string, readonly string[]>>;

function toPart(headers: PartHeaders, bytes: FormPart['bytes']): FormPart {
  const header = (name: string) => Buffer.from(headers[name]?.[0] ?? '', 'latin1').toString('utf8');
  return {
    disposition: header('content-disposition'),
    type: header('content-type'),
    encoding: header('content-transfer-encoding').toLowerCase(),
    bytes,
  };
}

const FIRST_BYTES = 4096;

/** Copies chunks into one buffer: many small ones take far more memory than they count for. */
function growingBytes() {
  let bytes = new Uint8Array(FIRST_BYTES);
  let length = 0;
  return {
    append(chunk: Uint8Array) {
      const needed = length + chunk.length;
      if (needed > bytes.length)
        bytes = new Uint8Array(bytes.buffer.transfer(Math.max(needed, 2 * bytes.length)));
      bytes.set(chunk, length);
      length = needed;
    },
    take: () => new Uint8Array(bytes.buffer.transfer(length)),
  };
}
