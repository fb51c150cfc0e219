import { expect, test } from 'vitest';
import { createDemoInbox } from '../../src/commands/demo-inbox.ts';
import { startApp } from '../helpers/app.ts';
import { startDemo } from '../helpers/demo.ts';

const HTML = '<p>Hello, <b>Ada</b></p><script>alert(1)</script>';

test('the demo ends its output with a link that has its key in the fragment', async () => {
  const { demo, get } = await startDemo();
  expect(demo.output().out).toMatch(
    /Press Ctrl-C to stop\.\n\nOpen http:\/\/127\.0\.0\.1:\d+\/#key=\w{48}\n$/,
  );
  expect((await get('demo/inbox')).status).toBe(200);
});

test('the demo reads the mailbox of the simulator', async () => {
  const { get } = await startDemo();
  const { checks } = (await (await get('doctor')).json()) as { checks: { id: string; status: string }[] };
  expect(checks.find(({ id }) => id === 'imap')).toMatchObject({ status: 'pass' });
});

test('the inbox of the demo has what the simulator received, newest first', async () => {
  const { inbox, send } = await startDemo();
  await send({
    from: 'Grace <grace@example.com>',
    to: 'ada@example.com',
    bcc: 'bob@example.com',
    subject: 'Grüße',
    text: 'Hello, Ada',
    html: HTML,
    attachments: [{ filename: 'a.txt', content: Buffer.from('12345').toString('base64') }],
  });
  const [newest, sample] = await inbox();
  expect(sample).toMatchObject({
    subject: 'Hello from Outtray',
    html: null,
    view_url: null,
    attachments: [],
  });
  expect(newest).toMatchObject({
    from: expect.stringMatching(/ <?demo@simulator\.test>?$/),
    to: ['ada@example.com', 'bob@example.com'],
    subject: 'Grüße',
    text: expect.stringMatching(/^Hello, Ada\s*$/),
    html: expect.stringContaining(HTML),
    attachments: [{ filename: 'a.txt', size: 5, content_type: 'text/plain' }],
    received_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    view_url: expect.stringMatching(/^demo\/inbox\/views\/[\w-]{36}$/),
  });
  expect(newest?.headers).toContainEqual({ name: 'Reply-To', value: expect.stringContaining('grace@') });
});

test('the view of a message needs no key, and lets nothing in it run or load', async () => {
  const { inbox, send, get } = await startDemo();
  await send({ to: 'ada@example.com', subject: 'Hello', html: HTML });
  const [newest] = await inbox();
  const response = await get(String(newest?.view_url), {});
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
  expect(response.headers.get('content-security-policy')).toBe(
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'",
  );
  expect(await response.text()).toContain(HTML);
  expect((await get('demo/inbox/views/unknown', {})).status).toBe(404);
});

test('the inbox needs a key that may read, and keeps its newest 100 messages', async () => {
  const received = Array.from({ length: 150 }, (_, i) => ({
    id: String(i),
    acceptedAt: i,
    user: 'demo@simulator.test',
    authMethod: 'PLAIN',
    secure: true,
    from: 'a@example.com',
    recipients: ['b@example.com'],
    raw: `Subject: ${i}\r\n\r\nHello`,
    bytes: 20,
    rewrittenFrom: null,
    answered: true,
  }));
  await using app = await startApp({ demoInbox: createDemoInbox(received) });
  const { messages } = (await app.get('/demo/inbox')).json();
  expect(messages.map(({ subject }: { subject: string }) => subject)).toEqual(
    Array.from({ length: 100 }, (_, i) => String(149 - i)),
  );
  expect((await app.get('/demo/inbox', {})).json().code).toBe('missing_api_key');
});

test('without the demo there is no inbox', async () => {
  await using app = await startApp();
  for (const path of ['/demo/inbox', '/demo/inbox/views/x'])
    expect((await app.get(path)).json().code).toBe('not_found');
});
