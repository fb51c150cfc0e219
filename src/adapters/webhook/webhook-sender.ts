import { promises as dns } from 'node:dns';
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { WebhookCall, WebhookResult, WebhookSender } from '../../core/ports/webhook-sender.ts';
import { signatureHeaders } from './signature.ts';
import { BlockedUrlError, createSsrfFilter, type Resolve } from './ssrf-filter.ts';

export interface WebhookSenderOptions {
  /**
   * Returns the secrets of the endpoint of an API key, or those of WEBHOOK_URL for null. Each call
   * has a signature by each. Null if this instance has no such key: then the call is not made.
   */
  readonly secretsOf: (key: string | null) => readonly Uint8Array[] | null;
  /** Hosts whose address may be private, and which may be called over http. */
  readonly allowedHosts: readonly string[];
  /** Version of Outtray. */
  readonly version: string;
  /** Deadline of a call, from DNS to the end of the response. */
  readonly timeoutMs?: number;
  readonly resolve?: Resolve;
}

const TIMEOUT_MS = 15_000;
/**
 * Maximum size of a response body that is read, and discarded, so that the connection can be
 * reused.
 */
const MAX_RESPONSE_BYTES = 64 * 1024;
/**
 * Lifetime of an idle connection, in ms. Shorter than that of servers: a call is lost if the server
 * closes the connection while it is being sent.
 */
const IDLE_MS = 4000;
const MAX_IDLE = 4;

/**
 * Creates a sender that calls endpoints over HTTP(S). It keeps a few connections open between
 * calls, and always verifies certificates.
 */
export function createWebhookSender(options: WebhookSenderOptions): WebhookSender {
  const { secretsOf, allowedHosts, version, timeoutMs = TIMEOUT_MS, resolve = resolveAll } = options;
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

  async function request(
    call: WebhookCall,
    url: URL,
    secrets: readonly Uint8Array[],
    signal: AbortSignal,
  ): Promise<WebhookResult> {
    const secure = url.protocol === 'https:';
    const outgoing = (secure ? https : http).request(url, {
      method: 'POST',
      agent: agents[secure ? 'https:' : 'http:'],
      signal,
      headers: {
        'content-type': 'application/json',
        'user-agent': `Outtray/${version}`,
        ...signatureHeaders(call, secrets),
        ...traceHeaders(call),
      },
    });
    outgoing.end(call.body);
    try {
      const response = await responseOf(outgoing);
      await discard(response);
      return toResult(response);
    } catch (error) {
      // The server had closed the idle connection, which is no failure of the endpoint.
      if (outgoing.reusedSocket && codeOf(error) === 'ECONNRESET' && !signal.aborted)
        return request(call, url, secrets, signal);
      throw error;
    }
  }

  return {
    async post(call) {
      const secrets = secretsOf(call.key);
      if (secrets === null) return failed('the API key of the endpoint is not configured');
      const deadline = AbortSignal.timeout(timeoutMs);
      try {
        const url = new URL(call.url);
        ssrfFilter.check(url);
        return await request(call, url, secrets, AbortSignal.any([closing.signal, deadline]));
      } catch (error) {
        if (closing.signal.aborted) return failed('Outtray stopped before the response arrived');
        return failed(deadline.aborted ? `no response within ${timeoutMs / 1000} s` : toReason(error));
      }
    },
    async close() {
      closing.abort();
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

function traceHeaders({ trace }: WebhookCall): Record<string, string> {
  if (trace === undefined) return {};
  const { traceparent, tracestate } = trace;
  return tracestate === null ? { traceparent } : { traceparent, tracestate };
}

function resolveAll(hostname: string) {
  return dns.lookup(hostname, { all: true });
}

function responseOf(outgoing: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once('response', resolve);
    // Stays registered, because the request may emit an error after the response.
    outgoing.on('error', reject);
    // A response that switches protocols (101) closes the request without any other event.
    outgoing.once('close', () =>
      reject(Object.assign(new Error('closed without a response'), { code: 'NO_RESPONSE' })),
    );
  });
}

/** Reads the body and discards it. Resolves at its end, or at the maximum size. */
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
  if (statusCode >= 200 && statusCode < 300) return { kind: 'taken', status: statusCode };
  if (statusCode === 410) return { kind: 'gone', status: statusCode };
  const redirect = statusCode >= 300 && statusCode < 400;
  const reason = `HTTP ${statusCode}${redirect ? ': redirects are not followed' : ''}`;
  return { ...failed(reason, parseRetryAfter(headers['retry-after'])), status: statusCode };
}

/**
 * Parses Retry-After (RFC 9110, section 10.2.3). Returns ms from now, or null if it is missing or
 * invalid.
 */
function parseRetryAfter(text = ''): number | null {
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  // Checked first, because Date.parse accepts almost any text.
  const at = /^[A-Z][a-z]+, .+ GMT$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - Date.now());
}

function failed(reason: string, retryAfterMs: number | null = null): WebhookResult {
  return { kind: 'failed', reason, retryAfterMs };
}

/** Omits messages of other libraries: they may quote a certificate or a response. */
function toReason(error: unknown): string {
  return error instanceof BlockedUrlError ? error.message : `the call failed (${codeOf(error)})`;
}

function codeOf(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException;
  return code ?? name;
}
