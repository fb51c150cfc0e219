import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import type { Environment } from '../../src/config/environment.ts';
import { VARIABLES } from '../../src/config/variables.ts';
import { errorOf, problemOf, REQUIRED, SECRET } from '../helpers/config.ts';

const KNOWN: readonly string[] = VARIABLES.flatMap(({ name, secret }) =>
  secret ? [name, `${name}_FILE`] : [name],
);

function warningsFor(env: Environment): readonly string[] {
  return parseConfig({ ...REQUIRED, ...env }).warnings;
}

/** Common typos of a name, except those that give another variable. */
function typingErrors(name: string): string[] {
  const places = [...name].map((_, i) => i);
  const errors = [
    ...places.map((i) => name.slice(0, i) + name.slice(i + 1)),
    ...places.map((i) => name.slice(0, i) + name.charAt(i) + name.slice(i)),
    ...places
      .slice(1)
      .map((i) => name.slice(0, i - 1) + name.charAt(i) + name.charAt(i - 1) + name.slice(i + 1)),
    name.toLowerCase(),
    name.replaceAll('_', '-'),
    name.replaceAll('_', ''),
    `OUTTRAY_${name}`,
  ];
  return [...new Set(errors)].filter((error) => !KNOWN.includes(error));
}

/** Names that may belong to another program while GMAIL_USER or GMAIL_FROM is set. */
const FOREIGN = ['MAIL_USER', 'MAIL_FROM', 'MAIL_ALIASES', 'MAILUSER'];

test.each(KNOWN)(
  'detects a dropped, doubled or swapped letter, other case and other separators in %s',
  (name) => {
    for (const wrong of typingErrors(name).filter((error) => !FOREIGN.includes(error))) {
      expect(warningsFor({ [wrong]: SECRET })).toEqual([
        `${wrong} is not a variable of this version and is ignored. The nearest name is ${name}.`,
      ]);
    }
  },
);

describe('the error for a missing required variable', () => {
  test.each([
    ['GMAIL_PASSWORD', 'GMAIL_APP_PASSWORD'],
    ['GMAIL_PASS', 'GMAIL_APP_PASSWORD'],
    ['SMTP_PASSWORD', 'GMAIL_APP_PASSWORD'],
    ['MAIL_PASSWORD', 'GMAIL_APP_PASSWORD'],
    ['GMAIL_PASSWORD_FILE', 'GMAIL_APP_PASSWORD_FILE'],
    ['GMAIL_APP_PASSWORD_FIEL', 'GMAIL_APP_PASSWORD_FILE'],
    ['gmail_user', 'GMAIL_USER'],
    ['GMAILUSER', 'GMAIL_USER'],
    ['GMAIL_EMAIL', 'GMAIL_USER'],
    ['MAIL_USER', 'GMAIL_USER'],
    ['GMAIL_USER_FILE', 'GMAIL_USER'],
    ['API_KEY', 'API_KEYS'],
    ['APIKEYS', 'API_KEYS'],
    ['API_TOKEN', 'API_KEYS'],
  ])('names %s as a likely cause', (wrong, meant) => {
    const variable = meant.replace(/_FILE$/, '');
    const { problems, message } = errorOf({ [variable]: '', [wrong]: SECRET });
    expect(problems).toEqual([
      { variable, message: expect.stringContaining(` ${wrong} is set: did you mean ${meant}? `) },
    ]);
    expect(message.split('\n')).toHaveLength(2);
    expect(message).not.toContain(SECRET);
  });

  test.each([
    ['GMAIL_ACOUNTS', 'GMAIL_USER', 'GMAIL_ACCOUNTS'],
    ['GMAIL_SERVICE_ACOUNT_FILE', 'GMAIL_APP_PASSWORD', 'GMAIL_SERVICE_ACCOUNT_FILE'],
    ['GMAIL_OAUTH_CLIENT', 'GMAIL_APP_PASSWORD', 'GMAIL_OAUTH_CLIENT_ID'],
  ])('names %s, which makes %s unnecessary', (wrong, variable, meant) => {
    const { problems } = errorOf({ GMAIL_USER: '', GMAIL_APP_PASSWORD: '', [wrong]: 'x' });
    const problem = problems.find((candidate) => candidate.variable === variable);
    expect(problem?.message).toContain(`${wrong} is set: did you mean ${meant}?`);
  });

  test('does not name an empty variable', () => {
    const { message } = errorOf({ GMAIL_USER: '', GMAIL_USR: ' ' });
    expect(message).not.toContain('GMAIL_USR');
  });
});

test('the error for a variable that needs another names the misspelling of the other', () => {
  expect(problemOf('WEBHOOK_URL', 'https://crm.example.com', { WEBHOOK_SECRT: 'x' })).toContain(
    'WEBHOOK_SECRT is set: did you mean WEBHOOK_SECRET?',
  );
});

test('a misspelling that causes no problem is listed after the problems', () => {
  const { message } = errorOf({ PORT: 'x', LOGLEVEL: 'debug', GMAIL_USR: 'x' });
  expect(message.split('\n').slice(1)).toEqual([
    expect.stringMatching(/^ {2}PORT: /),
    expect.stringMatching(/^ {2}LOGLEVEL .* LOG_LEVEL\.$/),
    expect.stringMatching(/^ {2}GMAIL_USR .* GMAIL_USER\.$/),
  ]);
});

test('control characters in a name are replaced in the warning', () => {
  expect(warningsFor({ '\u001bGMAIL_USER': 'x' })).toEqual([expect.stringMatching(/^\?GMAIL_USER /)]);
});

describe('a variable of another program', () => {
  test.each([
    [
      'is common',
      [
        'PATH',
        'HOME',
        'HOSTNAME',
        'HOSTTYPE',
        'USER',
        'LOGNAME',
        'MAIL',
        'MAILTO',
        'TERM',
        'TZ',
        'SHELL',
        'PORTS',
        'POST',
      ],
    ],
    [
      'has a similar name',
      [
        'HTTP_URL',
        'FTP_URL',
        'REDIS_URL',
        'DATABASE_URL',
        'API_URL',
        'APP_URL',
        'LOG_DIRECTORY',
        'LOG_FILE',
        'RATE',
      ],
    ],
    [
      'is for mail',
      ['MAIL_USER', 'MAIL_PASSWORD', 'EMAIL_ADDRESS', 'APP_PASSWORD', 'API_TOKEN', 'MAIL_HOST'],
    ],
    ['is for a client of Outtray', ['OUTTRAY_URL', 'OUTTRAY_KEY']],
  ])('that %s is ignored', (_, names) => {
    expect(warningsFor(Object.fromEntries(names.map((name) => [name, 'x'])))).toEqual([]);
  });

  test('that Kubernetes sets for a service is ignored', () => {
    const links = ['SMTP', 'OUTTRAY', 'QUEUE'].flatMap((service) => [
      [`${service}_SERVICE_HOST`, '10.0.0.1'],
      [`${service}_SERVICE_PORT`, '25'],
      [`${service}_PORT`, 'tcp://10.0.0.1:25'],
      [`${service}_PORT_25_TCP_ADDR`, '10.0.0.1'],
    ]);
    expect(warningsFor(Object.fromEntries(links))).toEqual([]);
  });
});
