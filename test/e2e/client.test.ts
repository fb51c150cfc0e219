import { expect, test } from 'vitest';
import {
  createOuttrayClient,
  type ErrorCode,
  type Message,
  type SendRequest,
} from '../../src/client/client.ts';
import { API_KEY, startService } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const HELLO: SendRequest = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };

test('the typed client sends a message and reads its outcome', async () => {
  await using gmail = await startSimulator();
  await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
  const outtray = createOuttrayClient({ baseUrl: service.url, apiKey: API_KEY });

  const sent = await outtray.POST('/send', { params: { header: { Prefer: 'wait=10' } }, body: HELLO });
  expect(sent.error).toBeUndefined();
  const { id } = sent.data as Message;
  const { data } = await outtray.GET('/messages/{id}', { params: { path: { id } } });
  expect(data).toMatchObject({
    id,
    status: 'sent',
    recipients: [{ email: 'ada@example.com', status: 'accepted' }],
  });
});

test('the typed client returns a refusal as a problem without throwing', async () => {
  await using gmail = await startSimulator();
  await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
  const outtray = createOuttrayClient({ baseUrl: service.url, apiKey: 'not-a-secret-of-this-service' });

  const { data, error, response } = await outtray.POST('/send', { body: HELLO });
  const code: ErrorCode | undefined = error?.code;
  expect({ data, code, status: response.status }).toEqual({
    data: undefined,
    code: 'invalid_api_key',
    status: 401,
  });
});

test('the typed client uses a given fetch and passes it the key', async () => {
  const seen: Request[] = [];
  const outtray = createOuttrayClient({
    baseUrl: 'http://outtray.test',
    apiKey: API_KEY,
    async fetch(request) {
      seen.push(request);
      return Response.json({ status: 'ready' });
    },
  });
  expect((await outtray.GET('/readyz')).data).toEqual({ status: 'ready' });
  expect(seen.map(({ url, headers }) => [url, headers.get('authorization')])).toEqual([
    ['http://outtray.test/readyz', `Bearer ${API_KEY}`],
  ]);
});
