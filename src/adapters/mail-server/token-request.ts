import http from 'node:http';
import https from 'node:https';
import { toOneLine } from '../../core/delivery/one-line.ts';
import { lookupHost } from './resolve.ts';
import { describeSystemError, isCertificateCode } from './system-error.ts';
import { toTlsOptions } from './tls-options.ts';

/** A signed assertion: three parts in base64url. */
const JWT = /[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}/g;

/** No access token was obtained. The message contains no token and no secret. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
  /**
   * Nodemailer's codes: the endpoint refused, or it could not be reached. Nodemailer moves this to
   * `originalCode`.
   */
  readonly code: 'EOAUTH2' | 'EFETCH';

  constructor(code: TokenError['code'], message: string) {
    super(message);
    this.code = code;
  }

  /**
   * Wraps nodemailer's error (`error: error_description`), and redacts secrets of the request that
   * the endpoint may have quoted.
   */
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
 * Posts a form to a token endpoint and returns the body of the response: JSON, with a token or an
 * error.
 *
 * @param timeoutMs limit of the whole request, in ms
 * @throws {TokenError} EFETCH if the endpoint cannot be reached or reports 5xx or 429, EOAUTH2 if
 *   the response is not that of a token endpoint
 */
export async function postForm(
  url: string,
  form: Record<string, string>,
  timeoutMs: number,
): Promise<Buffer> {
  const { status, body } = await fetchBody(url, form, timeoutMs);
  if (status >= 500 || status === 429) throw new TokenError('EFETCH', `it responded with HTTP ${status}`);
  if (!isTokenResponse(body))
    throw new TokenError('EOAUTH2', `the response is not that of a token endpoint (HTTP ${status})`);
  return body;
}

/** Google's responses have a few hundred bytes. */
const MAX_RESPONSE_BYTES = 64 * 1024;

/**
 * Does not use `fetch`, which has no TLS options: its certificate checks follow
 * NODE_TLS_REJECT_UNAUTHORIZED.
 */
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
      signal.aborted ? `it did not respond within ${timeoutMs / 1000} s` : reasonOf(error),
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
        if (bytes > MAX_RESPONSE_BYTES) throw new Error('its response is too long');
        chunks.push(chunk);
      }
      return { status: response.statusCode ?? 0, body: Buffer.concat(chunks) };
    };
    const options = { method: 'POST', headers, signal, lookup: lookupHost };
    const request =
      url.protocol === 'https:'
        ? https.request(url, { ...options, ...toTlsOptions(null) })
        : http.request(url, options);
    request.once('response', (response) => read(response).then(resolve, reject));
    // After a response that switches protocols (101), the request emits only `close`.
    request
      .on('error', reject)
      .once('close', () => reject(new Error('the connection closed without a response')));
    request.end(body);
  });
}

function reasonOf(error: unknown): string {
  const { systemCodes, message } = describeSystemError(error);
  const certificate = systemCodes.find(isCertificateCode);
  return certificate ? `its certificate is not trusted (${certificate})` : message;
}

/** RFC 6749, 5: the body is an object, and its `error`, if any, a string. */
function isTokenResponse(body: Buffer): boolean {
  try {
    const { error = '' } = JSON.parse(body.toString());
    return typeof error === 'string';
  } catch {
    return false;
  }
}
