import { describe, expect, test } from 'vitest';
import { parseReply } from '../../src/core/delivery/smtp-reply.ts';

describe('parseReply', () => {
  test('returns the codes, and the text on one line', () => {
    const reply = [
      '550-5.4.5 Daily user sending limit exceeded. For more information on Gmail',
      '550-5.4.5 sending limits go to',
      '550 5.4.5  https://support.google.com/a/answer/166852 d2 - gsmtp',
    ].join('\n');
    expect(parseReply(reply)).toEqual({
      code: 550,
      enhanced: '5.4.5',
      response:
        'Daily user sending limit exceeded. For more information on Gmail sending limits go to https://support.google.com/a/answer/166852 d2 - gsmtp',
    });
  });

  test('keeps blanks inside a line', () => {
    expect(parseReply('250 2.0.0 OK  1722933305 2adb3069b0e04-530bba1100asm1393398e87.90 - gsmtp')).toEqual({
      code: 250,
      enhanced: '2.0.0',
      response: 'OK  1722933305 2adb3069b0e04-530bba1100asm1393398e87.90 - gsmtp',
    });
  });

  test('accepts replies without an enhanced code or text', () => {
    expect(parseReply('354  Go ahead x - gsmtp')).toEqual({
      code: 354,
      enhanced: null,
      response: 'Go ahead x - gsmtp',
    });
    expect(parseReply('250')).toEqual({ code: 250, enhanced: null, response: '' });
    expect(parseReply('250 10.2.3 is no enhanced code')).toMatchObject({ enhanced: null });
  });

  test.each(['HTTP/1.1 400 Bad Request', '', '99', '2garbage', '5500 no', '!'])(
    'that is none has the code 0: %j',
    (garbage) => {
      expect(parseReply(garbage)).toEqual({ code: 0, enhanced: null, response: garbage });
    },
  );

  test('removes control characters and cuts long text', () => {
    expect(parseReply('550 5.7.1 no\u0000way\u001b\u007f\tnow').response).toBe('no way   now');
    expect(parseReply(`550 ${'x'.repeat(1_000_000)}`).response).toHaveLength(1000);
    expect(parseReply(`550 x${'😀'.repeat(999)}`).response.isWellFormed()).toBe(true);
  });
});

describe('redaction of Gmail’s sign-in URL', () => {
  const token = 'AKgnsbvSECRETTOKENW5W';

  test('redacts the URL as Gmail wraps it', () => {
    const reply = [
      '534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKg',
      '534-5.7.14 W5W> Please log',
      '534-5.7.14 in via your web browser and then try again.',
      '534-5.7.14  Learn more at',
      '534 5.7.14  https://support.google.com/mail/answer/78754 v1 - gsmtp',
    ].join('\n');
    expect(parseReply(reply)).toEqual({
      code: 534,
      enhanced: '5.7.14',
      response:
        'https://accounts.google.com/[redacted] Please log in via your web browser and then try again. Learn more at https://support.google.com/mail/answer/78754 v1 - gsmtp',
    });
  });

  test.each([
    ['in angle brackets', `<https://accounts.google.com/signin/continue?plt=${token}> Please log in`],
    ['bare', `https://accounts.google.com/signin/continue?plt=${token} Please log in`],
    ['at the end', `Sign in at https://accounts.google.com/signin/continue?plt=${token}`],
    ['twice', `<https://accounts.google.com/a?${token}> or <https://accounts.google.com/b?${token}>`],
  ])('redacts %s wherever the line breaks', (_, text) => {
    for (let at = 0; at <= text.length; at += 1) {
      const { response } = parseReply(`534-5.7.14 ${text.slice(0, at)}\n534 5.7.14 ${text.slice(at)}`);
      expect(response.replaceAll(' ', '')).not.toMatch(/SECRET|TOKEN/);
      expect(response).toContain('https://accounts.google.com/[redacted]');
    }
  });

  test('keeps the text after the URL', () => {
    const { response } = parseReply(
      `534 5.7.14 https://accounts.google.com/signin?plt=${token} Please log in`,
    );
    expect(response).toBe('https://accounts.google.com/[redacted] Please log in');
  });

  test('keeps other URLs', () => {
    expect(
      parseReply('535 5.7.8 go to https://support.google.com/mail/?p=BadCredentials x - gsmtp').response,
    ).toContain('p=BadCredentials');
  });
});

test('redacts a login that the server quotes', () => {
  const secret = Buffer.from('\0bot@acme.com\0abcdefghijklmnop').toString('base64');
  const { response } = parseReply(`500 5.5.1 Command unrecognized: "AUTH PLAIN ${secret}"`);
  expect(response).toBe('Command unrecognized: "AUTH PLAIN [redacted]');
});
