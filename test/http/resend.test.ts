import type { InjectOptions } from 'fastify';
import { describe, expect, test } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import type { Status } from '../../src/core/delivery/delivery.ts';
import { AppError, type ErrorCode } from '../../src/core/errors.ts';
import { applyInbound } from '../../src/core/inbound/apply.ts';
import type { AppOptions } from '../../src/http/app.ts';
import { resendError } from '../../src/http/resend/schemas.ts';
import { ADMIN, type AppUnderTest, CRM, CRM_SECRET, MAIL, SHOP, startApp } from '../helpers/app.ts';
import { aDelivery, anAttempt } from '../helpers/delivery.ts';
import { aBounce } from '../helpers/inbound.ts';
import { aKey } from '../helpers/keys.ts';
import { readServedDocument } from '../helpers/openapi-document.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const KEY = { 'idempotency-key': 'once' };
/** More bytes than JSON may add to a message. */
const HUGE = 'x'.repeat(2 * 1024 * 1024);
const PERMISSIVE = { 'x-batch-validation': 'permissive' };

function post(app: AppUnderTest, url: string, body: unknown, headers: Record<string, string> = {}) {
  return app.inject({
    method: 'POST',
    url,
    headers: { ...CRM, ...JSON_TYPE, ...headers },
    body: JSON.stringify(body),
  });
}

/** An intake that throws the given errors, by the index of the call, and accepts the rest. */
function failingAt(
  failures: Record<number, Error>,
): Pick<AppOptions, 'intake'> & { readonly acceptedIds: string[] } {
  const acceptedIds: string[] = [];
  let turn = 0;
  const intake: AppOptions['intake'] = {
    async accept({ template: _, ...message }, { caller }) {
      const failure = failures[turn++];
      if (failure) throw failure;
      const delivery = aDelivery({ ...message, owner: caller.name });
      acceptedIds.push(delivery.id);
      return delivery;
    },
    async check() {},
    preview: async ({ template: _, ...message }) => ({
      delivery: aDelivery(message),
      composed: { size: 1, headers: [] },
    }),
  };
  return { intake, acceptedIds };
}

describe('an error of /emails', () => {
  test('has the three members of Resend’s errors, and the remaining ones of a problem', async () => {
    await using app = await startApp();
    const response = await post(app, '/emails', { ...MAIL, to: 'ada', subject: undefined });
    expect([response.statusCode, response.headers['content-type']]).toEqual([
      422,
      'application/json; charset=utf-8',
    ]);
    expect(response.json()).toEqual({
      statusCode: 422,
      name: 'validation_error',
      message: expect.stringMatching(/^\/to: .* \(and 1 more, see errors\)$/),
      code: 'validation_failed',
      hint: 'Fix every field listed in `errors`.',
      retryable: false,
      request_id: response.headers['x-request-id'],
      errors: [
        { pointer: '/to', code: 'invalid_address', detail: expect.any(String) },
        { pointer: '/subject', code: 'required', detail: expect.any(String) },
      ],
    });
  });

  test.each<[string, InjectOptions, number, string, ErrorCode]>([
    ['a missing API key', { headers: JSON_TYPE }, 401, 'missing_api_key', 'missing_api_key'],
    [
      'an unknown API key',
      { headers: { authorization: 'Bearer x' } },
      403,
      'invalid_api_key',
      'invalid_api_key',
    ],
    [
      'a body that is not JSON',
      { headers: { ...CRM, ...JSON_TYPE }, body: '{' },
      400,
      'validation_error',
      'invalid_json',
    ],
    [
      'another media type',
      { headers: { ...CRM, 'content-type': 'text/plain' }, body: '' },
      415,
      'validation_error',
      'unsupported_media_type',
    ],
  ])('has Resend’s format for %s', async (_, request, status, name, code) => {
    await using app = await startApp();
    const response = await app.inject({ method: 'POST', url: '/emails', ...request });
    expect([response.statusCode, response.json()]).toEqual([
      status,
      expect.objectContaining({ statusCode: status, name, code }),
    ]);
    expect(resendError.parse(response.json()).message).toMatch(/^[A-Z].*\. .*\.$/);
    expect(app.logs.at(-1)).toMatchObject({ status, code });
  });

  test.each<[string, InjectOptions, number, string]>([
    ['an unknown route', { url: '/emails/a/b/c', headers: CRM }, 404, 'not_found'],
    ['an unknown route with extra slashes', { url: '//emails/a/b/c', headers: CRM }, 404, 'not_found'],
    ['an unknown method', { method: 'DELETE', url: '/emails', headers: CRM }, 405, 'method_not_allowed'],
    ['an unknown route without an API key', { url: '/emails/a/b/c' }, 404, 'not_found'],
    ['a path that cannot be decoded', { url: '/emails/%zz', headers: CRM }, 400, 'validation_error'],
    [
      'a body that is too large',
      { method: 'POST', url: '/emails', headers: { ...CRM, ...JSON_TYPE }, body: HUGE },
      413,
      'validation_error',
    ],
  ])('has Resend’s format for %s', async (_, request, status, name) => {
    await using app = await startApp({ maxMessageBytes: 1 });
    const response = await app.inject(request);
    expect([response.statusCode, response.json()]).toMatchObject([status, { statusCode: status, name }]);
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
    resendError.parse(response.json());
  });

  test.each([
    'resend-node:6.1.0',
    'resend-python:2.0.0',
    'resend-go/2.1',
    'resend-php/1.0',
    'resend-ruby:1.0.0',
  ])('has Resend’s format on every route for %s', async (agent) => {
    await using app = await startApp();
    const headers = { ...CRM, ...JSON_TYPE, 'user-agent': agent };
    const asked = await Promise.all([
      app.inject({ url: '/domains', headers }),
      app.inject({ url: '/messages', headers: { 'user-agent': agent } }),
      app.inject({ method: 'POST', url: '/send', headers, body: {} }),
    ]);
    expect(asked.map((response) => resendError.parse(response.json()).name)).toEqual([
      'not_found',
      'missing_api_key',
      'missing_required_field',
    ]);
  });

  test('is a problem document for other clients and routes', async () => {
    await using app = await startApp();
    for (const request of [{ url: '/domains' }, { url: '/emailsx' }, { url: '/send/emails' }]) {
      const response = await app.inject({ ...request, headers: { ...CRM, 'user-agent': 'my-resend-app' } });
      expect([response.json().type, response.json().statusCode]).toEqual(['/problems/not_found', undefined]);
    }
  });

  test.each<[ErrorCode, number, string]>([
    ['queue_full', 503, 'application_error'],
    ['queue_unavailable', 503, 'application_error'],
    ['shutting_down', 503, 'application_error'],
    ['rate_limited', 429, 'rate_limit_exceeded'],
    ['recipient_not_allowed', 403, 'validation_error'],
    ['recipient_suppressed', 422, 'validation_error'],
    ['template_failed', 422, 'validation_error'],
    ['attachment_blocked', 422, 'invalid_attachment'],
    ['message_too_large', 413, 'validation_error'],
  ])('maps %s to Resend’s name and status', async (code, status, name) => {
    const { intake } = failingAt({ 0: new AppError(code, { retryAfter: 7 }) });
    await using app = await startApp({ intake });
    const response = await post(app, '/emails', MAIL);
    expect([response.statusCode, response.headers['retry-after']]).toEqual([status, '7']);
    expect(response.json()).toMatchObject({ statusCode: status, name, code });
  });

  test('reveals nothing about an internal error', async () => {
    const { intake } = failingAt({ 0: new Error('secret of ada@example.com') });
    await using app = await startApp({ intake });
    const response = await post(app, '/emails', MAIL);
    expect(response.json()).toMatchObject({
      statusCode: 500,
      name: 'internal_server_error',
      code: 'internal_error',
    });
    expect(response.body).not.toContain('ada@');
  });

  test('reports that the first request with the key is in progress', async () => {
    const [started, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { intake } = failingAt({});
    const slow: typeof intake = {
      ...intake,
      async accept(...args) {
        started.resolve();
        await released.promise;
        return intake.accept(...args);
      },
    };
    await using app = await startApp({ intake: slow });
    const first = Promise.resolve(post(app, '/emails', MAIL, KEY));
    await started.promise;
    const second = await post(app, '/emails', MAIL, KEY);
    expect([second.statusCode, second.headers['retry-after'], second.json().name]).toEqual([
      409,
      '1',
      'concurrent_idempotent_requests',
    ]);
    released.resolve();
    expect((await first).statusCode).toBe(200);
  });
});

describe('POST /emails', () => {
  test('accepts mail without from, uses GMAIL_FROM, and reports the remaining quota of the account', async () => {
    await using app = await startApp();
    const response = await post(app, '/emails', MAIL);
    expect(response.json()).toEqual({ id: app.accepted[0]?.delivery.id });
    expect(app.accepted[0]?.draft.envelope.from.email).toBe('no-reply@acme.com');
    expect(response.headers.ratelimit).toContain('"account";r=1999');
  });

  test.each([
    ['an unknown field and suggests the nearest', { replyTo: 'a@b.example' }, '/replyTo', /"reply_to"/],
    ['tags that are not a list', { tags: { flow: 'x' } }, '/tags', /a list/],
    [
      'a tag without a value',
      { tags: [{ name: 'a', value: 'b' }, { name: 'flow' }] },
      '/tags/1/value',
      /required/,
    ],
    ['a repeated tag', { tags: Array(2).fill({ name: 'a', value: 'b' }) }, '/tags', /same name/],
    [
      'more than 50 tags',
      { tags: Array.from({ length: 51 }, (_, i) => ({ name: `t${i}`, value: 'x' })) },
      '/tags',
      /at most 50/,
    ],
    [
      'bytes as a list',
      { attachments: [{ filename: 'a.txt', content: [104, 105] }] },
      '/attachments/0/content',
      /a string, not a list/,
    ],
    [
      'a template with html',
      { text: undefined, html: '<p>x</p>', template: { id: 'x' } },
      '/html',
      /one of the two/,
    ],
    ['a header that is not allowed', { headers: { DKIM: 'x' } }, '/headers/DKIM', /can be set/],
    ['an invalid Message-ID', { headers: { 'In-Reply-To': 'x y' } }, '/in_reply_to', /Message-ID/],
    [
      'a repeated header',
      { headers: { References: '<a@b>', references: '<a@b>' } },
      '/headers/References',
      /"references"/,
    ],
    [
      'two addresses in List-Unsubscribe',
      { headers: { 'List-Unsubscribe': '<mailto:a@b.c>, <mailto:d@b.c>' } },
      '/headers/List-Unsubscribe',
      /use/,
    ],
    [
      'List-Unsubscribe-Post without List-Unsubscribe',
      { headers: { 'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click' } },
      '/headers/List-Unsubscribe-Post',
      /use/,
    ],
    [
      'a repeated List-Unsubscribe',
      { headers: { 'List-Unsubscribe': '<https://a.b>', 'list-unsubscribe': '<https://a.c>' } },
      '/headers/list-unsubscribe',
      /use/,
    ],
    [
      'a header with its field',
      { references: ['<a@b>'], headers: { References: '<a@b>' } },
      '/headers/References',
      /"references"/,
    ],
    ['headers that are not an object', { headers: 'X-A: b' }, '/headers', /an object/],
  ])('refuses %s', async (_, patch, pointer, detail) => {
    await using app = await startApp();
    const response = await post(app, '/emails', { ...MAIL, ...patch });
    expect(response.statusCode).toBe(422);
    expect(response.json().errors).toContainEqual(
      expect.objectContaining({ pointer, detail: expect.stringMatching(detail) }),
    );
    expect(app.accepted).toEqual([]);
  });

  test.each([[null], ['mail'], [[MAIL]]])('refuses a body that is not an object: %j', async (body) => {
    await using app = await startApp();
    expect((await post(app, '/emails', body)).json()).toMatchObject({
      statusCode: 422,
      errors: [{ pointer: '' }],
    });
  });

  test('refuses a time too far ahead', async () => {
    await using app = await startApp();
    const tooFar = await post(app, '/emails', { ...MAIL, scheduled_at: '2999-01-01T00:00:00Z' }, KEY);
    expect(tooFar.json().errors).toEqual([
      expect.objectContaining({ pointer: '/scheduled_at', code: 'out_of_range' }),
    ]);
  });
});

describe('POST /emails/batch', () => {
  const THREE = [MAIL, { ...MAIL, subject: 'Second' }, { ...MAIL, subject: 'Third' }];

  test.each([
    ['an empty list', []],
    ['more than 100 emails', Array(101).fill(MAIL)],
    ['a body that is not a list', { emails: [MAIL] }],
  ])('refuses %s', async (_, body) => {
    await using app = await startApp();
    expect((await post(app, '/emails/batch', body)).json()).toMatchObject({
      statusCode: 422,
      name: 'validation_error',
    });
  });

  test('refuses an unknown mode', async () => {
    await using app = await startApp();
    const response = await post(app, '/emails/batch', THREE, { 'x-batch-validation': 'lax' });
    expect(response.json()).toMatchObject({
      statusCode: 422,
      errors: [{ pointer: 'header:x-batch-validation' }],
    });
  });

  test('is strict by default: one invalid email refuses all, with pointers into the batch', async () => {
    await using app = await startApp();
    const response = await post(app, '/emails/batch', [MAIL, { ...MAIL, to: 'ada', cc: 'bob' }]);
    expect(response.json()).toMatchObject({
      statusCode: 422,
      errors: [{ pointer: '/1/to' }, { pointer: '/1/cc' }],
    });
    expect(response.json().message).toMatch(/^\/1\/to: .* \(and 1 more, see errors\)$/);
    expect(app.accepted).toEqual([]);
  });

  test('lists the accepted emails if it fails half-way, and repeating it sends nothing twice', async () => {
    const { intake, acceptedIds } = failingAt({ 2: new AppError('queue_full', { retryAfter: 5 }) });
    await using app = await startApp({ intake });
    const response = await post(app, '/emails/batch', THREE, KEY);
    expect([response.statusCode, response.headers['retry-after']]).toEqual([503, undefined]);
    expect(resendError.parse(response.json())).toMatchObject({
      statusCode: 503,
      name: 'application_error',
      code: 'queue_full',
      message: expect.stringMatching(
        /^\/2: Queue full\. The emails before \/2 were accepted.* Send only those from \/2 on again/,
      ),
      retryable: false,
      accepted: acceptedIds.map((id) => ({ id })),
    });
    expect(acceptedIds).toHaveLength(2);
    expect(app.logs.at(-1)).toMatchObject({ status: 503, code: 'queue_full' });
    const again = await post(app, '/emails/batch', THREE, KEY);
    expect([again.statusCode, again.body]).toEqual([503, response.body]);
    expect(acceptedIds).toHaveLength(2);
  });

  test('can be repeated with its key if it fails at the first email', async () => {
    const { intake, acceptedIds } = failingAt({ 0: new AppError('queue_full', { retryAfter: 5 }) });
    await using app = await startApp({ intake });
    const refused = await post(app, '/emails/batch', THREE, KEY);
    expect([refused.statusCode, refused.headers['retry-after'], refused.json().accepted]).toEqual([
      503,
      '5',
      undefined,
    ]);
    const again = await post(app, '/emails/batch', THREE, KEY);
    expect(again.json()).toEqual({ data: acceptedIds.map((id) => ({ id })) });
    expect(acceptedIds).toHaveLength(3);
  });

  test('accepts the valid emails in permissive mode', async () => {
    const { intake, acceptedIds } = failingAt({ 1: new Error('secret') });
    await using app = await startApp({ intake });
    const response = await post(app, '/emails/batch', [...THREE, { ...MAIL, to: [] }], PERMISSIVE);
    expect(response.json()).toEqual({
      data: acceptedIds.map((id) => ({ id })),
      errors: [
        { index: 1, message: expect.stringMatching(/^Internal error in Outtray\. Report this bug/) },
        { index: 3, message: '/to: Must have at least one recipient.' },
      ],
    });
    expect(acceptedIds).toHaveLength(2);
    expect(app.logs.at(-1)).toMatchObject({ status: 200, code: 'internal_error' });
  });

  test('releases the key if a permissive batch accepts nothing; another mode is another request', async () => {
    const { intake, acceptedIds } = failingAt({ 0: new AppError('queue_full') });
    await using app = await startApp({ intake });
    expect((await post(app, '/emails/batch', [MAIL], { ...KEY, ...PERMISSIVE })).json()).toMatchObject({
      data: [],
      errors: [{ index: 0 }],
    });
    expect((await post(app, '/emails/batch', [MAIL], { ...KEY, ...PERMISSIVE })).json()).toEqual({
      data: [{ id: acceptedIds[0] }],
      errors: [],
    });
    expect((await post(app, '/emails/batch', [MAIL], KEY)).json()).toMatchObject({
      name: 'invalid_idempotent_request',
    });
  });
});

describe('GET /emails/{id}', () => {
  test.each<[Status, string]>([
    ['scheduled', 'scheduled'],
    ['queued', 'queued'],
    ['sending', 'queued'],
    ['deferred', 'delivery_delayed'],
    ['sent', 'sent'],
    ['partially_sent', 'sent'],
    ['failed', 'failed'],
    ['uncertain', 'delivery_delayed'],
    ['canceled', 'canceled'],
    ['expired', 'failed'],
  ])('maps %s to %s', async (status, last_event) => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery({ status }));
    expect((await app.get(`/emails/${id}`)).json()).toMatchObject({ id, last_event });
  });

  test('maps a settled message with a recipient that bounced to bounced', async () => {
    await using app = await startApp();
    const lastEventOf = async (status: Status) => {
      const bounced = applyInbound(aDelivery({ status, attempts: [anAttempt()] }), aBounce())?.delivery;
      const { id } = app.keep(bounced ?? aDelivery());
      return (await app.get(`/emails/${id}`)).json().last_event;
    };
    const statuses = ['sent', 'partially_sent', 'uncertain', 'queued'] as const;
    const expected = ['bounced', 'bounced', 'bounced', 'queued'];
    expect(await Promise.all(statuses.map(lastEventOf))).toEqual(expected);
  });

  test('shows a message to the key that sent it and to an admin', async () => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery());
    const statuses = [CRM, ADMIN, SHOP].map(async (key) => (await app.get(`/emails/${id}`, key)).statusCode);
    expect(await Promise.all(statuses)).toEqual([200, 200, 404]);
  });
});

describe('GET /emails', () => {
  test.each([
    ['before=msg_1', 'query:before', /use after/],
    ['after=msg_1', 'query:after', /no such email/],
    ['limit=0', 'query:limit', /from 1 to 100/],
    ['page=2', 'query:page', /no such field/],
  ])('refuses ?%s', async (query, pointer, detail) => {
    await using app = await startApp();
    const response = (await app.get(`/emails?${query}`)).json();
    expect(response).toMatchObject({
      statusCode: 422,
      name: 'invalid_parameter',
      errors: [{ pointer, detail: expect.stringMatching(detail) }],
    });
  });
});

describe('POST /emails/{id}/cancel', () => {
  test.each<[string, InjectOptions]>([
    ['no body', {}],
    ['a Content-Type without a body', { headers: { ...CRM, ...JSON_TYPE } }],
    ['an empty object', { headers: { ...CRM, ...JSON_TYPE }, body: '{}' }],
  ])('accepts %s', async (_, request) => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery({ status: 'scheduled', scheduledAt: Date.now() + 60_000 }));
    const response = await app.inject({
      method: 'POST',
      url: `/emails/${id}/cancel`,
      headers: CRM,
      ...request,
    });
    expect([response.statusCode, response.json()]).toEqual([200, { object: 'email', id }]);
  });
});

describe('every operation of /emails', () => {
  async function resendOperations() {
    const { operations } = await readServedDocument();
    return operations
      .filter(({ path }) => path.startsWith('/emails'))
      .map(({ method, path, responses }) => ({
        name: `${method.toLowerCase()} ${path}`,
        scope: method === 'GET' ? ('read' as const) : ('send' as const),
        request: { method: method as 'GET', url: path.replace('{id}', 'x') },
        responses,
      }));
  }

  test('requires a scope, and reports it in Resend’s format', async () => {
    const all = await resendOperations();
    expect(all).toHaveLength(6);
    for (const { name, scope, request, responses } of all) {
      const other = scope === 'send' ? 'read' : 'send';
      await using app = await startApp({
        apiKeys: createApiKeys([aKey(CRM_SECRET, { scopes: [other] })], createMemorySharedState()),
      });
      const response = await app.inject({ ...request, headers: CRM });
      expect([name, response.statusCode, response.json().name, response.json().code]).toEqual([
        name,
        401,
        'restricted_api_key',
        'insufficient_scope',
      ]);
      expect(response.json().message).toMatch(
        `This route requires the scope ${scope}; the key has ${other}.`,
      );
      expect(responses['401']?.description).toContain('`insufficient_scope`');
    }
  });

  test('documents its errors with Resend’s statuses and format', async () => {
    for (const { responses } of await resendOperations()) {
      for (const [status, { content }] of Object.entries(responses)) {
        if (Number(status) < 400) continue;
        expect(content).toMatchObject({
          'application/json': { schema: { allOf: [{ $ref: '#/components/schemas/ResendError' }, {}] } },
        });
      }
      expect(responses['403']?.description).toContain('`invalid_api_key`, `invalid_api_key`:');
    }
  });
});
