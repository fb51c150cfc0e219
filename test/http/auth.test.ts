import { describe, expect, test } from 'vitest';
import { createAuthenticator } from '../../src/http/plugins/auth.ts';
import { CRM_SECRET, MAIL, startApp } from '../helpers/app.ts';

describe('API keys', () => {
  test.each(['/send', '/messages/msg_1'])('%s needs one', async (url) => {
    await using app = await startApp();
    const answer = await app.inject({ method: url === '/send' ? 'POST' : 'GET', url });
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer');
    expect(answer.json().code).toBe('missing_api_key');
  });

  test.each(['/livez', '/readyz', '/openapi.yaml', '/docs', '/problems/queue_full'])('%s needs none', async (url) => {
    await using app = await startApp();
    expect((await app.get(url, {})).statusCode).toBe(200);
  });

  test.each([
    ['another secret', `Bearer ${CRM_SECRET}x`],
    ['a part of the secret', `Bearer ${CRM_SECRET.slice(0, -1)}`],
    ['the secret with its name', `Bearer crm:${CRM_SECRET}`],
    ['the secret without a scheme', CRM_SECRET],
    ['another scheme', `Basic ${CRM_SECRET}`],
    ['no secret', 'Bearer '],
    ['two secrets', `Bearer ${CRM_SECRET} ${CRM_SECRET}`],
    ['characters that are not ASCII', 'Bearer ä'],
  ])('%s is refused, in the same words', async (_, authorization) => {
    await using app = await startApp();
    const answer = await app.get('/messages/msg_1', { authorization });
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer');
    expect(answer.json()).toMatchObject({ code: 'invalid_api_key', detail: 'The API key is not known', errors: [] });
  });

  test('the name of the scheme does not mind case', async () => {
    await using app = await startApp();
    expect((await app.send(MAIL, { authorization: `bearer ${CRM_SECRET}` })).statusCode).toBe(202);
  });

  test('without any key nobody gets in', () => {
    expect(() => createAuthenticator(() => [])(`Bearer ${CRM_SECRET}`)).toThrow('The API key is not known');
  });

  test('a bad key is refused before the body is read', async () => {
    await using app = await startApp();
    const answer = await app.send('{ not JSON', { authorization: 'Bearer wrong' });
    expect(answer.statusCode).toBe(401);
  });
});
