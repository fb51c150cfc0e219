import { describe, expect, test } from 'vitest';
import { CRM, CRM_SECRET, exchange, MAIL, startApp } from '../helpers/app.ts';
import { aDelivery } from '../helpers/delivery.ts';

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

async function detailOf(method: Method, url: string, headers: Record<string, string> = CRM) {
  await using app = await startApp();
  const answer = await app.inject({ method, url, headers });
  return { status: answer.statusCode, ...answer.json<{ code: string; detail: string }>() };
}

describe('an unknown route', () => {
  test.each([
    ['POST', '/sends', 'POST /send'],
    ['POST', '/sned', 'POST /send'],
    ['POST', '/SEND', 'POST /send'],
    ['POST', '/send.json', 'POST /send'],
    ['POST', '/api/send', 'POST /send'],
    ['POST', '/v1/send', 'POST /send'],
    ['POST', '/api/v1/emails', 'POST /emails'],
    ['POST', '/email', 'POST /emails'],
    ['GET', '/email', 'GET /emails'],
    ['POST', '/mail', 'POST /send'],
    ['POST', '/sendBatch', 'POST /send/batch'],
    ['POST', '/messages/msg_1/cancle', 'POST /messages/{id}/cancel'],
    ['POST', '/message/msg_1/retry', 'POST /messages/{id}/retry'],
    ['GET', '/message/msg_1', 'GET /messages/{id}'],
    ['GET', '/supression/ada@example.com', 'GET /suppressions/{email}'],
    ['POST', '/accounts/bot@acme.com/verfiy', 'POST /accounts/{user}/verify'],
    ['GET', '/health', 'GET /livez or GET /readyz'],
    ['GET', '/healthz', 'GET /livez or GET /readyz'],
    ['GET', '/openapi.json', 'GET /openapi.yaml'],
    ['GET', '/swagger', 'GET /docs'],
    ['GET', '/', 'GET /docs'],
  ] as const)('%s %s returns 404 and names %s', async (method, url, nearest) => {
    const { status, code, detail } = await detailOf(method, url);
    expect([status, code, detail]).toEqual([
      404,
      'not_found',
      `No route matches ${method} \`${url}\`. Did you mean ${nearest}?`,
    ]);
  });

  test.each([
    ['GET', '/send', 'POST /send'],
    ['POST', '/messages', 'POST /send'],
    ['DELETE', '/messages/msg_1', 'POST /messages/{id}/cancel'],
    ['PUT', '/messages/msg_1', 'PATCH /messages/{id}'],
    ['POST', '/livez', 'GET /livez'],
  ] as const)('%s %s with an unknown method returns 405 and names %s', async (method, url, nearest) => {
    const { status, code, detail } = await detailOf(method, url);
    expect([status, code, detail]).toEqual([
      405,
      'method_not_allowed',
      `\`${url}\` does not accept ${method}. Did you mean ${nearest}?`,
    ]);
  });

  test("under /emails names the nearest in the shape of Resend's errors", async () => {
    await using app = await startApp();
    const answer = await app.inject({ method: 'POST', url: '/emails/batchs', headers: CRM });
    expect(answer.json()).toMatchObject({
      statusCode: 405,
      name: 'method_not_allowed',
      message: expect.stringContaining('Did you mean POST /emails/batch?'),
    });
  });

  test.each([
    ['another word', '/nowhere'],
    ['a path that browsers request', '/favicon.ico'],
    ['a long path', `/${'send'.repeat(60)}`],
    ['a deep path', `/${'a/'.repeat(5000)}`],
  ])('far from every route (%s) names none', async (_, url) => {
    expect((await detailOf('GET', url)).detail).not.toContain('Did you mean');
  });

  test('is reported without a key as well', async () => {
    expect(await detailOf('POST', '/sends', {})).toMatchObject({
      status: 404,
      detail: expect.stringContaining('Did you mean POST /send?'),
    });
  });

  test('is quoted as one short line without backticks', async () => {
    await using app = await startApp();
    const path = `/s\`${'x'.repeat(300)}`;
    const answer = await exchange(
      await app.listen(),
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );
    const { detail } = JSON.parse(Buffer.from(answer, 'latin1').toString().split('\r\n\r\n')[1] ?? '');
    expect(detail).toBe(`No route matches GET \`/s?${'x'.repeat(96)}…\`.`);
  });
});

describe('extra slashes', () => {
  test.each(['//send', '/send/', '///send//', '/send?'])('are ignored in POST %s', async (url) => {
    await using app = await startApp();
    const request = {
      method: 'POST',
      headers: { ...CRM, 'content-type': 'application/json' },
      body: JSON.stringify(MAIL),
    };
    expect((await fetch(`${await app.listen()}${url}`, request)).status).toBe(202);
    expect(app.accepted).toHaveLength(1);
  });

  test('are ignored for a client of Resend whose base URL ends in a slash', async () => {
    await using app = await startApp();
    const url = await app.listen();
    const request = { method: 'POST', headers: { ...CRM, 'content-type': 'application/json' } };
    const email = { from: 'bot@acme.com', ...MAIL };
    const sent = await fetch(`${url}//emails`, { ...request, body: JSON.stringify(email) });
    const { id } = (await sent.json()) as { id: string };
    expect((await fetch(`${url}//emails/batch`, { ...request, body: JSON.stringify([email]) })).status).toBe(
      200,
    );
    expect(await (await fetch(`${url}//emails/${id}`, { headers: CRM })).json()).toMatchObject({
      object: 'email',
      id,
    });
  });

  test('are ignored without changing path parameters', async () => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery());
    expect((await app.get(`//messages//${id}/`)).json()).toMatchObject({ id });
    const slashed = await app.get('/suppressions/a%2F%2Fb@example.com/');
    expect(slashed.json().detail).toBe('Mail to a//b@example.com is not suppressed.');
  });

  test.each([
    '//evil.example',
    '//evil.example/',
    '//docs/static/index.html',
    '/docs//static/index.html',
    '//docs?x=1',
    '/docs/?x=1',
  ])('do not redirect GET %s to another host', async (url) => {
    await using app = await startApp();
    const answer = await exchange(
      await app.listen(),
      `GET ${url} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${CRM_SECRET}\r\nConnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 (?:404|302) /);
    expect(answer).not.toMatch(/^location: (?:\/|http)/im);
  });
});
