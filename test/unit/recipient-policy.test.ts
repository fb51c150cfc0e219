import { describe, expect, test } from 'vitest';
import type { Caller } from '../../src/core/auth/caller.ts';
import { AppError } from '../../src/core/errors.ts';
import { checkRecipientPolicy } from '../../src/core/intake/recipient-policy.ts';
import { redirectRecipients } from '../../src/core/intake/staging-redirect.ts';
import type { Message } from '../../src/core/message/message.ts';
import { aMessage } from '../helpers/delivery.ts';
import { aCaller } from '../helpers/keys.ts';

function toAddresses(emails: readonly string[]) {
  return emails.map((email) => ({ email, name: null }));
}

function mail({
  from = 'bot@acme.com',
  to = ['ada@example.com'],
  cc = [] as string[],
  bcc = [] as string[],
}): Message {
  const { envelope, ...rest } = aMessage();
  return {
    ...rest,
    envelope: {
      ...envelope,
      from: { email: from, name: null },
      to: toAddresses(to),
      cc: toAddresses(cc),
      bcc: toAddresses(bcc),
    },
  };
}

function refusalOf(
  message: Message,
  caller: Partial<Caller>,
  allowedRecipients: readonly string[] | null = null,
): AppError | null {
  try {
    checkRecipientPolicy(message, aCaller(caller), allowedRecipients);
    return null;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

describe('allowed_from', () => {
  test.each(['bot@acme.com', 'Bot@acme.com', 'anyone@shop.acme.com'])(
    'allows %s, which is listed or has a listed domain',
    (from) => {
      expect(refusalOf(mail({ from }), { allowedFrom: ['BOT@acme.com', '@shop.acme.com'] })).toBeNull();
    },
  );

  test.each([
    'help@acme.com',
    'bot@example.com',
    'bot@x.shop.acme.com',
    'bot@notshop.acme.com',
    'shop.acme.com@example.com',
  ])('refuses %s and lists the allowed senders', (from) => {
    const refusal = refusalOf(mail({ from }), { allowedFrom: ['bot@acme.com', '@shop.acme.com'] });
    const detail = `This key may not send from ${from}. Its allowed_from: bot@acme.com, @shop.acme.com.`;
    expect(refusal).toMatchObject({ code: 'sender_not_allowed', message: detail });
    expect(refusal?.errors).toEqual([{ pointer: '/from', code: 'sender_not_allowed', detail }]);
  });

  test('shortens a long list of allowed senders', () => {
    const allowedFrom = Array.from({ length: 200 }, (_, i) => `sender-${i}@acme.com`);
    const { message = '' } = refusalOf(mail({}), { allowedFrom }) ?? {};
    expect(message).toMatch(/sender-0@acme\.com, .*, and \d+ more\.$/);
    expect(message.length).toBeLessThan(1000);
  });
});

describe('allowed_recipients', () => {
  test('allows listed addresses and domains in any case', () => {
    const message = mail({ to: ['ADA@example.com'], cc: ['bob@acme.com'], bcc: ['ada@example.com'] });
    expect(refusalOf(message, { allowedRecipients: ['ada@example.com', '@acme.com'] })).toBeNull();
  });

  test('reports each other recipient with its pointer', () => {
    const message = mail({
      to: ['ada@example.com', 'bob@example.com'],
      cc: ['carol@sub.acme.com', 'dave@acme.com'],
      bcc: ['erin@example.com'],
    });
    const refusal = refusalOf(message, { allowedRecipients: ['ada@example.com', '@acme.com'] });
    expect(refusal?.code).toBe('recipient_not_allowed');
    expect(refusal?.errors.map(({ pointer, detail }) => [pointer, detail])).toEqual([
      ['/to/1', 'bob@example.com is not in the allowed_recipients of this key.'],
      ['/cc/0', 'carol@sub.acme.com is not in the allowed_recipients of this key.'],
      ['/bcc/0', 'erin@example.com is not in the allowed_recipients of this key.'],
    ]);
    expect(refusal?.message).toContain('/to/1: bob@example.com');
  });

  test('applies in addition to ALLOWED_RECIPIENTS, and the error says which one refuses', () => {
    const message = mail({ to: ['ada@example.com', 'bob@example.com', 'carol@acme.com', 'dave@other.test'] });
    const refusal = refusalOf(message, { allowedRecipients: ['@example.com'] }, [
      '@acme.com',
      'ada@example.com',
    ]);
    expect(refusal?.errors.map(({ pointer, detail }) => [pointer, detail])).toEqual([
      ['/to/1', 'bob@example.com is not in ALLOWED_RECIPIENTS.'],
      ['/to/2', 'carol@acme.com is not in the allowed_recipients of this key.'],
      ['/to/3', 'dave@other.test is not in the allowed_recipients of this key.'],
    ]);
  });

  test('applies to admin keys too', () => {
    expect(refusalOf(mail({}), { scopes: ['admin'], allowedRecipients: ['@acme.com'] })?.code).toBe(
      'recipient_not_allowed',
    );
    expect(refusalOf(mail({}), { scopes: ['admin'] }, ['@acme.com'])?.code).toBe('recipient_not_allowed');
  });
});

test('any sender and recipient is allowed without lists', () => {
  expect(refusalOf(mail({ from: 'anyone@any.test', to: ['anybody@any.test'] }), {})).toBeNull();
});

describe('redirectRecipients', () => {
  test('sends to one address, and lists each original recipient once in a header', () => {
    const message = mail({
      to: ['ada@example.com', 'bob@example.com'],
      cc: ['ada@example.com'],
      bcc: ['carol@example.com'],
    });
    const { envelope, content } = redirectRecipients(message, 'dev@acme.com');
    expect(envelope).toEqual({
      ...message.envelope,
      to: [{ email: 'dev@acme.com', name: null }],
      cc: [],
      bcc: [],
    });
    expect(content).toEqual({
      ...message.content,
      headers: { 'X-Original-To': 'ada@example.com, bob@example.com, carol@example.com' },
    });
  });

  test('preserves the headers of the message, except X-Original-To', () => {
    const message = mail({});
    const headers = { 'X-Entity-Ref': '42', 'x-original-TO': 'forged@example.com' };
    const redirected = redirectRecipients(
      { ...message, content: { ...message.content, headers } },
      'dev@acme.com',
    );
    expect(redirected.content.headers).toEqual({ 'X-Entity-Ref': '42', 'X-Original-To': 'ada@example.com' });
  });

  test('does not modify the message', () => {
    const message = mail({ to: ['ada@example.com'], bcc: ['bob@example.com'] });
    const before = structuredClone(message);
    redirectRecipients(message, 'dev@acme.com');
    expect(message).toEqual(before);
  });

  test.each([1, 20, 35, 36, 37, 100])(
    'lists as many of %i recipients as fit into the header, and counts the rest',
    (count) => {
      const to = Array.from({ length: count }, (_, i) => `recipient-${i}@example.com`);
      const value = redirectRecipients(mail({ to }), 'dev@acme.com').content.headers['X-Original-To'] ?? '';
      expect(value.length).toBeLessThanOrEqual(900);
      const [named = '', more = '0'] = value.split(/, and (\d+) more$/);
      expect(named.split(', ')).toEqual(to.slice(0, to.length - Number(more)));
      if (count <= 35) expect(more).toBe('0');
      // The header is filled.
      else expect(value.length).toBeGreaterThan(900 - 50);
    },
  );
});
