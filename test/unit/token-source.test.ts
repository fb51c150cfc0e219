import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createSessionTokens, createTokenSource } from '../../src/adapters/mail-server/token-source.ts';

const CREDENTIALS = {
  kind: 'refresh_token',
  clientId: 'client',
  clientSecret: 'GOCSPX-a-secret',
  refreshToken: '1//a-refresh-token',
} as const;
const MINUTE = 60_000;
const TIMEOUT_MS = 300;

afterEach(() => vi.restoreAllMocks());

/** Starts a token endpoint whose responses `respond` sends. */
async function startEndpoint(
  respond: (response: ServerResponse, form: URLSearchParams, request: number) => void,
) {
  let requests = 0;
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    respond(response, new URLSearchParams(body), ++requests);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const tokenUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  return {
    get requests() {
      return requests;
    },
    source: () => createTokenSource('bot@acme.test', { ...CREDENTIALS, tokenUrl }, TIMEOUT_MS),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Starts an endpoint that issues token-1, token-2, …, each with this lifetime in seconds. */
function startIssuer(expiresIn: number | undefined) {
  return startEndpoint((response, _form, request) => {
    response.end(
      JSON.stringify({ access_token: `token-${request}`, expires_in: expiresIn, token_type: 'Bearer' }),
    );
  });
}

function setClock(): { advance(ms: number): void } {
  let now = 1_000_000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  return {
    advance(ms) {
      now += ms;
    },
  };
}

describe('createTokenSource', () => {
  test.each([
    ['an hour', 3600, 55 * MINUTE],
    ['a minute', 60, 48_000],
  ])('returns a cached token of %s until its margin, then renews it', async (_, seconds, usableMs) => {
    await using issuer = await startIssuer(seconds);
    const clock = setClock();
    const source = issuer.source();
    expect(await source.getToken(null)).toMatchObject({ token: 'token-1', isNew: true });
    // nodemailer returns the expiry in wall-clock time, which advances while the response is read.
    clock.advance(usableMs - 1000);
    expect(await source.getToken(null)).toMatchObject({ token: 'token-1', isNew: false });
    clock.advance(1001);
    expect(await source.getToken(null)).toMatchObject({ token: 'token-2', isNew: true });
    expect(issuer.requests).toBe(2);
  });

  test('uses a token without a lifetime for one login', async () => {
    await using issuer = await startIssuer(undefined);
    const source = issuer.source();
    await source.getToken(null);
    expect(await source.getToken(null)).toMatchObject({ token: 'token-2', isNew: true });
  });

  test('requests one token for concurrent calls', async () => {
    await using issuer = await startIssuer(3600);
    const source = issuer.source();
    const tokens = await Promise.all(Array.from({ length: 20 }, () => source.getToken(null)));
    expect(tokens).toMatchObject(Array(20).fill({ token: 'token-1', isNew: true }));
    expect(issuer.requests).toBe(1);
  });

  test('replaces a refused token by the newer cached one, or requests a new one', async () => {
    await using issuer = await startIssuer(3600);
    const source = issuer.source();
    await source.getToken(null);
    const [first, second] = await Promise.all([source.getToken('token-1'), source.getToken('token-1')]);
    expect([first.token, second.token]).toEqual(['token-2', 'token-2']);
    expect((await source.getToken('token-1')).token).toBe('token-2');
    expect(issuer.requests).toBe(2);
  });

  test('requests a token again after a failed request', async () => {
    await using issuer = await startEndpoint((response, _form, request) => {
      if (request === 1) response.writeHead(503).end();
      else response.end(JSON.stringify({ access_token: 'token', expires_in: 3600 }));
    });
    const source = issuer.source();
    await expect(Promise.all([source.getToken(null), source.getToken(null)])).rejects.toMatchObject({
      code: 'EFETCH',
    });
    expect((await source.getToken(null)).token).toBe('token');
    expect(issuer.requests).toBe(2);
  });

  test('requests no second token in a session whose newly issued token was refused', async () => {
    await using issuer = await startIssuer(3600);
    const source = issuer.source();
    const first = createSessionTokens(source);
    expect((await first.getToken(false)).token).toBe('token-1');
    await expect(first.getToken(true)).rejects.toMatchObject({ code: 'EOAUTH2' });
    const second = createSessionTokens(source);
    expect((await second.getToken(false)).token).toBe('token-1');
    expect((await second.getToken(true)).token).toBe('token-2');
    expect(issuer.requests).toBe(2);
  });
});

describe('a failing token endpoint', () => {
  const html = '<!DOCTYPE html><title>Sign in to this network</title>';

  test.each<[string, (response: ServerResponse) => void, string, RegExp]>([
    ['responds with 502', (response) => response.writeHead(502).end(html), 'EFETCH', /HTTP 502/],
    [
      'responds with 500 in JSON',
      (response) => response.writeHead(500).end('{"error":"internal_failure"}'),
      'EFETCH',
      /HTTP 500/,
    ],
    [
      'responds with 429',
      (response) => response.writeHead(429).end('{"error":"rate_limit_exceeded"}'),
      'EFETCH',
      /HTTP 429/,
    ],
    ['never responds', () => {}, 'EFETCH', /did not respond within 0\.3 s/],
    [
      'never ends its response',
      (response) => void response.writeHead(200).write('{"access_'),
      'EFETCH',
      /did not respond within/,
    ],
    ['closes the connection', (response) => response.destroy(), 'EFETCH', /socket|closed|ECONNRESET/],
    ['responds with a web page', (response) => response.end(html), 'EOAUTH2', /HTTP 200/],
    [
      'redirects',
      (response) => response.writeHead(302, { location: '/elsewhere' }).end(),
      'EOAUTH2',
      /HTTP 302/,
    ],
    ['responds with an empty body', (response) => response.end(), 'EOAUTH2', /HTTP 200/],
    ['responds with a list', (response) => response.end('[]'), 'EOAUTH2', /No access token/],
    ['responds with an unrelated object', (response) => response.end('{}'), 'EOAUTH2', /No access token/],
    [
      'refuses in the format of another API',
      (response) => response.writeHead(404).end('{"error":{"code":404}}'),
      'EOAUTH2',
      /HTTP 404/,
    ],
    [
      'refuses the request',
      (response) => response.writeHead(400).end('{"error":"invalid_scope"}'),
      'EOAUTH2',
      /^invalid_scope$/,
    ],
  ])('returns no token if it %s', async (_, respond, code, message) => {
    await using endpoint = await startEndpoint(respond);
    const token = endpoint.source().getToken(null);
    await expect(token).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect(endpoint.requests).toBe(1);
  });

  test('is quoted without the secrets of the request', async () => {
    await using endpoint = await startEndpoint((response, form) => {
      const error_description = `You said ${form}: ${form.get('refresh_token')}, ${form.get('client_secret')} eyJhbGciOi.eyJpc3MiOiJ.c2lnbmF0dXJl`;
      response.writeHead(400).end(JSON.stringify({ error: 'invalid_grant', error_description }));
    });
    const error = await endpoint
      .source()
      .getToken(null)
      .then(
        () => new Error('a token'),
        (reason: Error) => reason,
      );
    expect(error.message).toMatch(/^invalid_grant: You said .*\[redacted\], \[redacted\] \[redacted\]$/);
    expect(error.stack).not.toMatch(/a-refresh-token|GOCSPX|eyJ/);
  });
});
