import { promises as dns } from 'node:dns';
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { WebhookCall, WebhookResult, WebhookSender } from '../../core/ports/webhook-sender.ts';
import { signatureHeaders } from './signature.ts';
import { BlockedUrlError, createSsrfFilter, type Resolve } from './ssrf-filter.ts';

export interface WebhookSenderOptions {
  /** Each call is signed with each. */
  readonly secrets: readonly Uint8Array[];
  /** Hosts whose address may be private, and which may be called by http. */
  readonly allowedHosts: readonly string[];
  /** Outtray's own. */
  readonly version: string;
  /** For all of a call: DNS, connection, answer. */
  readonly timeoutMs?: number;
  readonly resolve?: Resolve;
}

const TIMEOUT_MS = 15_000;
/** What is read of an answer, so that its connection can be used again. Nobody looks at it. */
const MAX_RESPONSE_BYTES = 64 * 1024;
/** Shorter than what servers have: one that closes an idle connection while a call goes out on it would lose the call. */
const IDLE_MS = 4000;
const MAX_IDLE = 4;

/** Calls endpoints over HTTP(S). A few connections stay open between calls; certificates are always checked. */
export function createWebhookSender(options: WebhookSenderOptions): WebhookSender {
  const { secrets, allowedHosts, version, timeoutMs = TIMEOUT_MS, resolve = resolveAll } = options;
  const ssrfFilter = createSsrfFilter(allowedHosts, resolve);
  const pooled = {
    keepAlive: true,
    timeout: IDLE_MS,
    maxFreeSockets: MAX_IDLE,
    lookup: ssrfFilter.lookup,
    autoSelectFamily: true,
  };
  const agents = {
    'http:': new http.Agent(pooled),
    'https:': new https.Agent({ ...pooled, rejectUnauthorized: true, minVersion: 'TLSv1.2' }),
  };
  const closing = new AbortController();

  async function request(call: WebhookCall, url: URL, signal: AbortSignal): Promise<WebhookResult> {
    const secure = url.protocol === 'https:';
    const outgoing = (secure ? https : http).request(url, {
      method: 'POST',
      agent: agents[secure ? 'https:' : 'http:'],
      signal,
      headers: {
        'content-type': 'application/json',
        'user-agent': `Outtray/${version}`,
        ...signatureHeaders(call, secrets),
      },
    });
    outgoing.end(call.body);
    try {
      const response = await responseOf(outgoing);
      await discard(response);
      return toResult(response);
    } catch (error) {
      // A connection that was found dead when it was to be used again says nothing about the endpoint.
      if (outgoing.reusedSocket && codeOf(error) === 'ECONNRESET' && !signal.aborted)
        return request(call, url, signal);
      throw error;
    }
  }

  return {
    async post(call) {
      const deadline = AbortSignal.timeout(timeoutMs);
      try {
        const url = new URL(call.url);
        ssrfFilter.check(url);
        return await request(call, url, AbortSignal.any([closing.signal, deadline]));
      } catch (error) {
        if (closing.signal.aborted) return failed('Outtray stopped before the answer came');
        return failed(deadline.aborted ? `it did not answer within ${timeoutMs / 1000} s` : toReason(error));
      }
    },
    async close() {
      closing.abort();
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

function resolveAll(hostname: string) {
  return dns.lookup(hostname, { all: true });
}

function responseOf(outgoing: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once('response', resolve);
    // It stays for as long as the request: an error after the answer must find a listener.
    outgoing.on('error', reject);
    // An answer that asks to speak another protocol (101) ends the request without a word.
    outgoing.once('close', () =>
      reject(Object.assign(new Error('closed without an answer'), { code: 'NO_ANSWER' })),
    );
  });
}

/** Resolves when there is no more, or enough: what counts has been said before. */
function discard(response: IncomingMessage): Promise<void> {
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_RESPONSE_BYTES) response.destroy();
  });
  response.on('error', () => {});
  return new Promise((resolve) => response.once('close', resolve));
}

function toResult({ statusCode = 0, headers }: IncomingMessage): WebhookResult {
  if (statusCode >= 200 && statusCode < 300) return { kind: 'taken' };
  if (statusCode === 410) return { kind: 'gone' };
  const redirect = statusCode >= 300 && statusCode < 400;
  return failed(
    `HTTP ${statusCode}${redirect ? ': no redirect is followed' : ''}`,
    parseRetryAfter(headers['retry-after']),
  );
}

/** Milliseconds from now: RFC 9110, 10.2.3. Null if there is none, or none that can be read. */
function parseRetryAfter(text = ''): number | null {
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  // Date.parse by itself takes nearly anything for a date.
  const at = /^[A-Z][a-z]+, .+ GMT$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - Date.now());
}

function failed(reason: string, retryAfterMs: number | null = null): WebhookResult {
  return { kind: 'failed', reason, retryAfterMs };
}

/** No message but our own: others may quote what a certificate or an answer says. */
function toReason(error: unknown): string {
  return error instanceof BlockedUrlError ? error.message : `the call failed (${codeOf(error)})`;
}

function codeOf(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException;
  return code ?? name;
}
