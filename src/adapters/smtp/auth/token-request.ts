import http from 'node:http';
import https from 'node:https';
import { isCertificateCode, readFailure } from '../errors/nodemailer-errors.ts';
import { toOneLine } from '../errors/reply-parser.ts';
import { toTlsOptions } from '../server-options.ts';

/** Three parts in base64url: a signed assertion. */
const JWT = /[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}/g;

/** Why there is no access token, in words without a token or a secret. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
  /** As nodemailer has them: the endpoint said no, or it could not be asked. Nodemailer moves this to `originalCode`. */
  readonly code: 'EOAUTH2' | 'EFETCH';

  constructor(code: TokenError['code'], message: string) {
    super(message);
    this.code = code;
  }

  /** What nodemailer made of the answer, `error: error_description`, with what an endpoint may have quoted of the request taken out. */
  static from(error: Error, secrets: readonly string[]): TokenError {
    const text = secrets
      .filter(Boolean)
      .reduce((message, secret) => message.replaceAll(secret, '[redacted]'), error.message);
    return new TokenError(
      error instanceof TokenError ? error.code : 'EOAUTH2',
      toOneLine([text.replace(JWT, '[redacted]')]),
    );
  }
}

/**
 * Posts to a token endpoint, and within `timeoutMs` reads its answer: JSON, whether it gives a token or says why not.
 *
 * @throws {TokenError} EFETCH if the endpoint cannot be reached or is out of order, EOAUTH2 if it answers as no token endpoint does
 */
export async function postForm(
  url: string,
  form: Record<string, string>,
  timeoutMs: number,
): Promise<Buffer> {
  const { status, body } = await fetchBody(url, form, timeoutMs);
  if (status >= 500 || status === 429) throw new TokenError('EFETCH', `it answered HTTP ${status}`);
  if (!isAnswer(body))
    throw new TokenError('EOAUTH2', `the answer is not that of a token endpoint (HTTP ${status})`);
  return body;
}

/** Google's answers have a few hundred bytes. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** Not by `fetch`, which has no option for TLS: its certificate checks follow NODE_TLS_REJECT_UNAUTHORIZED. */
async function fetchBody(
  url: string,
  form: Record<string, string>,
  timeoutMs: number,
): Promise<{ status: number; body: Buffer }> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    return await post(new URL(url), new URLSearchParams(form).toString(), signal);
  } catch (error) {
    throw new TokenError(
      'EFETCH',
      signal.aborted ? `it did not answer within ${timeoutMs / 1000} s` : causeOf(error),
    );
  }
}

function post(url: URL, body: string, signal: AbortSignal): Promise<{ status: number; body: Buffer }> {
  const headers = {
    'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  };
  return new Promise((resolve, reject) => {
    const read = async (response: http.IncomingMessage) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of response as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) throw new Error('its answer is too long');
        chunks.push(chunk);
      }
      return { status: response.statusCode ?? 0, body: Buffer.concat(chunks) };
    };
    const options = { method: 'POST', headers, signal };
    const request =
      url.protocol === 'https:'
        ? https.request(url, { ...options, ...toTlsOptions(null) })
        : http.request(url, options);
    request.once('response', (response) => read(response).then(resolve, reject));
    // An answer that asks to speak another protocol (101) ends the request without a word.
    request
      .on('error', reject)
      .once('close', () => reject(new Error('the connection closed without an answer')));
    request.end(body);
  });
}

function causeOf(error: unknown): string {
  const { systemCodes, message } = readFailure(error);
  const certificate = systemCodes.find(isCertificateCode);
  return certificate ? `its certificate is not trusted (${certificate})` : message;
}

/** RFC 6749, 5: an object, whose `error` is a word. */
function isAnswer(body: Buffer): boolean {
  try {
    const { error = '' } = JSON.parse(body.toString());
    return typeof error === 'string';
  } catch {
    return false;
  }
}
