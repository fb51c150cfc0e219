import { Webhook } from 'standardwebhooks';
import { describe, expect, test, vi } from 'vitest';
import { fileOf } from '../helpers/config.ts';
import { startEndpoint } from '../helpers/endpoint.ts';
import { type Running, serveAgainst } from '../helpers/process.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const CRM_SECRET = 'crm-secret-0123456789-abcdefghij';
const SHOP_SECRET = 'shop-secret-0123456789-abcdefgh';
const TILL_SECRET = 'till-secret-0123456789-abcdefgh';

async function statusOf(url: string, secret: string): Promise<number> {
  const answer = await fetch(`${url}/accounts`, { headers: { authorization: `Bearer ${secret}` } });
  await answer.body?.cancel();
  return answer.status;
}

/** Resolves with the first log line that has this message. */
async function lineOf(service: Running, message: string): Promise<Record<string, unknown>> {
  const [line] = await service.saw(new RegExp(`^\\{.*"msg":"${message}.*\\}$`, 'm'));
  return JSON.parse(line);
}

describe('on SIGHUP, outtray serve', () => {
  test('loads the keys of API_KEYS_FILE without a restart', async () => {
    using file = fileOf(`crm:${CRM_SECRET}`);
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, { API_KEYS_FILE: file.path });
    expect(await statusOf(service.url, CRM_SECRET)).toBe(200);

    file.write(
      JSON.stringify([
        { name: 'shop', secret: SHOP_SECRET, rate_limit: '7/1m' },
        { name: 'till', secret: TILL_SECRET, scopes: ['send'] },
      ]),
    );
    service.signal('SIGHUP');
    expect(await lineOf(service, 'API keys reloaded')).toMatchObject({ level: 'info', api_keys: 2 });
    expect(await statusOf(service.url, CRM_SECRET)).toBe(401);
    expect(await statusOf(service.url, SHOP_SECRET)).toBe(200);
    expect(await statusOf(service.url, TILL_SECRET)).toBe(403);
    service.signal('SIGTERM');
    expect(await service.ended).toBe(0);
    for (const secret of [CRM_SECRET, SHOP_SECRET, TILL_SECRET])
      expect(service.output().out).not.toContain(secret);
  });

  test('keeps its keys and logs the reason when those of the file are invalid', async () => {
    using file = fileOf(`crm:${CRM_SECRET}`);
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, { API_KEYS_FILE: file.path });

    file.write(JSON.stringify([{ name: 'shop', secret: SHOP_SECRET, scope: ['send'] }]));
    service.signal('SIGHUP');
    expect(await lineOf(service, 'API key reload failed')).toMatchObject({
      level: 'error',
      problems: ['API_KEYS_FILE: Key 1: "scope" is not a field. The nearest name is scopes.'],
    });
    expect(await statusOf(service.url, CRM_SECRET)).toBe(200);
    expect(await statusOf(service.url, SHOP_SECRET)).toBe(401);

    file.write(`crm:${CRM_SECRET},shop:${SHOP_SECRET}`);
    service.signal('SIGHUP');
    expect(await lineOf(service, 'API keys reloaded')).toMatchObject({ api_keys: 2 });
    expect(await statusOf(service.url, SHOP_SECRET)).toBe(200);
  });

  test('signs the calls to the webhook_url of a key with its new webhook_secret', async () => {
    const secrets = [1, 2].map((byte) => `whsec_${Buffer.alloc(32, byte).toString('base64')}`);
    await using endpoint = await startEndpoint();
    const keys = (webhook_secret = '') =>
      JSON.stringify([
        {
          name: 'crm',
          secret: CRM_SECRET,
          webhook_url: `http://127.0.0.1:${endpoint.port}/`,
          webhook_secret,
        },
      ]);
    using file = fileOf(keys(secrets[0]));
    await using gmail = await startSimulator();
    const env = { API_KEYS_FILE: file.path, WEBHOOK_ALLOWED_HOSTS: '127.0.0.1' };
    await using service = await serveAgainst(gmail, env);
    const headers = { authorization: `Bearer ${CRM_SECRET}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ to: 'ada@example.com', subject: 'Hello', text: 'Hello.' });
    for (const [i, secret] of secrets.entries()) {
      file.write(keys(secret));
      service.signal('SIGHUP');
      await vi.waitFor(() => expect(service.output().out.match(/API keys reloaded/g)).toHaveLength(i + 1));
      await fetch(`${service.url}/send`, { method: 'POST', headers, body });
      await vi.waitFor(() => expect(endpoint.heard).toHaveLength(i + 1), 10_000);
      const call = endpoint.heard[i];
      const event = new Webhook(secret).verify(call?.body ?? '', call?.headers as Record<string, string>);
      expect(event).toMatchObject({ type: 'message.sent' });
    }
  });

  test('logs that keys in the environment cannot be reloaded', async () => {
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, { API_KEYS: `crm:${CRM_SECRET}` });
    service.signal('SIGHUP');
    expect(await lineOf(service, 'API_KEYS is set in the environment')).toMatchObject({ level: 'warn' });
    expect(await statusOf(service.url, CRM_SECRET)).toBe(200);
  });
});
