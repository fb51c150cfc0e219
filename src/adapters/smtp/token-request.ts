import { isCertificateCode, readFailure } from './failure.ts';
import { toOneLine } from './reply-text.ts';

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
    const text = secrets.filter(Boolean).reduce((message, secret) => message.replaceAll(secret, '[redacted]'), error.message);
    return new TokenError(error instanceof TokenError ? error.code : 'EOAUTH2', toOneLine([text.replace(JWT, '[redacted]')]));
  }
}

/**
 * Posts to a token endpoint, and within `timeoutMs` reads its answer: JSON, whether it gives a token or says why not.
 *
 * @throws {TokenError} EFETCH if the endpoint cannot be reached or is out of order, EOAUTH2 if it answers as no token endpoint does
 */
export async function postForm(url: string, form: Record<string, string>, timeoutMs: number): Promise<Buffer> {
  const { status, body } = await fetchBody(url, form, timeoutMs);
  if (status >= 500 || status === 429) throw new TokenError('EFETCH', `it answered HTTP ${status}`);
  if (!isAnswer(body)) throw new TokenError('EOAUTH2', `the answer is not that of a token endpoint (HTTP ${status})`);
  return body;
}

async function fetchBody(url: string, form: Record<string, string>, timeoutMs: number): Promise<{ status: number; body: Buffer }> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, { method: 'POST', body: new URLSearchParams(form), redirect: 'manual', signal });
    return { status: response.status, body: Buffer.from(await response.arrayBuffer()) };
  } catch (error) {
    throw new TokenError('EFETCH', signal.aborted ? `it did not answer within ${timeoutMs / 1000} s` : causeOf(error));
  }
}

/** Under fetch's own "fetch failed". */
function causeOf(error: unknown): string {
  const { systemCodes, message } = readFailure(error instanceof Error && error.cause ? error.cause : error);
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
