import { describe, expect, test } from 'vitest';
import { ADMIN_KEY } from '../helpers/service.ts';
import { startWithGmail } from '../helpers/smtp/gmail.ts';
import { makeTemplatesDir } from '../helpers/templates.ts';

const BOSS = { headers: { authorization: `Bearer ${ADMIN_KEY}` } };

describe('the message resource', () => {
  test('shows the request everywhere it appears, also after the content is dropped', async () => {
    await using templates = await makeTemplatesDir({
      'invoice/subject.txt': 'Your invoice',
      'invoice/body.html': '<p>{{name}}, pay.</p>',
    });
    await using app = await startWithGmail({ env: { TEMPLATES_DIR: templates.dir } });
    const { service } = app;
    const sent = await service.send(
      {
        to: 'ada@example.com',
        reply_to: 'Help <help@acme.com>',
        template: { id: 'invoice', variables: { name: 'Ada' } },
        attachments: [
          { filename: 'invoice.pdf', content: Buffer.alloc(1000).toString('base64') },
          { filename: 'data', content: 'YWJj', content_type: 'text/csv' },
          { filename: 'mail.eml', content: '' },
        ],
        priority: 'high',
        expires_at: '2026-12-31T00:00:00Z'.replace('2026', String(new Date().getUTCFullYear() + 1)),
      },
      { wait: 20 },
    );
    const expected = {
      status: 'sent',
      account: 'bot@simulator.test',
      reply_to: [{ email: 'help@acme.com', name: 'Help' }],
      template: 'invoice',
      attachments: [
        { filename: 'invoice.pdf', size: 1000, content_type: 'application/pdf' },
        { filename: 'data', size: 3, content_type: 'text/csv' },
        // RFC 2046 forbids base64 for message/rfc822, so the generic type replaces it.
        { filename: 'mail.eml', size: 0, content_type: 'application/octet-stream' },
      ],
      priority: 'high',
      expires_at: `${new Date().getUTCFullYear() + 1}-12-31T00:00:00.000Z`,
      warnings: [],
    };
    expect(sent.body).toMatchObject(expected);
    expect(await service.get(sent.body.id)).toMatchObject(expected);
    const list = (await service.request('/messages')).body as unknown as { messages: object[] };
    expect(list.messages).toMatchObject([expected]);
    for (const { content_type } of expected.attachments)
      expect(app.gmail.messages[0]?.raw).toContain(`Content-Type: ${content_type};`);
  });

  test('has empty fields where the request had none', async () => {
    await using app = await startWithGmail();
    const { body } = await app.service.send({ to: 'ada@example.com', subject: 'Hello', text: 'Hello.' });
    expect(body).toMatchObject({
      reply_to: [],
      template: null,
      attachments: [],
      priority: 'normal',
      expires_at: null,
      warnings: [],
    });
  });

  test('names the sending key only to an admin', async () => {
    await using app = await startWithGmail();
    const { service } = app;
    const { body } = await service.send(
      { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' },
      { wait: 20 },
    );
    expect(body).not.toHaveProperty('key');
    expect(await service.get(body.id)).not.toHaveProperty('key');
    expect((await service.request(`/messages/${body.id}`, BOSS)).body).toMatchObject({
      id: body.id,
      key: 'crm',
    });
    const list = (await service.request('/messages', BOSS)).body as unknown as { messages: object[] };
    expect(list.messages).toMatchObject([{ id: body.id, key: 'crm' }]);
  });

  test('lists the recipients that are skipped because they are suppressed', async () => {
    await using app = await startWithGmail();
    const { service } = app;
    await service.request('/suppressions/left@example.com', {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    const mail = { to: ['ada@example.com', 'left@example.com'], subject: 'Hello', text: 'Hello.' };
    const warnings = [
      { code: 'recipients_suppressed', detail: 'Not sent to suppressed addresses: left@example.com.' },
    ];
    expect((await service.send({ ...mail, dry_run: true })).body).toMatchObject({
      warnings,
      envelope: { to: ['ada@example.com'] },
    });
    expect((await service.send(mail, { wait: 20 })).body).toMatchObject({
      status: 'partially_sent',
      warnings,
    });
  });
});
