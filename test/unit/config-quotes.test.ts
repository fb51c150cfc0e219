import { describe, expect, test } from 'vitest';
import { VARIABLES } from '../../src/config/variables.ts';
import {
  accountOf,
  configOf,
  credentialsOf,
  errorOf,
  fileOf,
  problemOf,
  REQUIRED,
  SECRET,
} from '../helpers/config.ts';

/** A value for each variable that would be valid without quotes. */
const VALUES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(VARIABLES.map(({ name, default: value }) => [name, value || SECRET])),
  ...REQUIRED,
  GMAIL_FROM: 'Acme <no-reply@acme.com>',
  GMAIL_ACCOUNTS: '[{"user": "bot@acme.com", "app_password": "abcd efgh ijkl mnop"}]',
  // The message has the word on.
  UI: 'off',
  RECONCILE: 'off',
  TEMPLATES_DIR: '/data/templates',
  WEBHOOK_URL: 'https://crm.example.com/hooks',
};

describe.each(VARIABLES.map(({ name }) => [name] as const))('%s', (name) => {
  const value = VALUES[name] ?? '';

  test.each([
    ['double quotes', `"${value}"`],
    ['single quotes', `'${value}'`],
    ['backquotes', `\`${value}\``],
    ['typographic quotes', `“${value}”`],
    ['German quotes', `„${value}“`],
    ['French quotes', `«${value}»`],
    ['two kinds of quotes', `“${value}"`],
    ['blanks and a carriage return around the quotes', ` "${value}" \r`],
    ['only the first quote', `‘${value}`],
    ['only quotes', '""'],
  ])('in %s asks to remove them, and repeats no value', (_, quoted) => {
    const { message } = errorOf({ [name]: quoted });
    expect(message).toMatch(new RegExp(`^ {2}${name}: .*Remove the quotes around the value`, 'm'));
    expect(message).not.toContain(value);
  });

  // The secret of a key may end with any character.
  test.skipIf(name === 'API_KEYS')('with only the last quote asks to remove it', () => {
    expect(errorOf({ [name]: `${value}"` }).message).toContain('Remove the quotes around the value');
  });
});

test('refuses quotes around a secret in a file and around the path of a file', () => {
  using file = fileOf('"abcd efgh ijkl mnop"\n');
  const { problems, message } = errorOf({
    GMAIL_APP_PASSWORD: '',
    GMAIL_APP_PASSWORD_FILE: file.path,
    API_KEYS: '',
    API_KEYS_FILE: `"${file.path}"`,
  });
  expect(problems).toEqual([
    { variable: 'API_KEYS_FILE', message: expect.stringContaining('Remove the quotes') },
    { variable: 'GMAIL_APP_PASSWORD_FILE', message: expect.stringContaining('Remove the quotes') },
  ]);
  expect(message).not.toContain('abcd');
});

test('keeps quotes inside a value', () => {
  expect(accountOf({ GMAIL_FROM: '"Acme, Inc." <no-reply@acme.com>' }).from.name).toBe('Acme, Inc.');
  expect(accountOf({ GMAIL_FROM: '“Acme” <no-reply@acme.com>' }).from.name).toBe('“Acme”');
  expect(accountOf({ GMAIL_FROM: "O'Brien <no-reply@acme.com>" }).from.name).toBe("O'Brien");
  for (const secret of [`crm:${SECRET}"`, `crm:${SECRET}'`, `crm:"${SECRET}"`])
    configOf({ API_KEYS: secret });
});

test('trims spaces and carriage returns around a value', () => {
  expect(configOf({ PORT: ' 4000\r', LOG_LEVEL: '\tdebug \r' })).toMatchObject({
    port: 4000,
    logLevel: 'debug',
  });
  expect(credentialsOf({ GMAIL_APP_PASSWORD: ' abcd efgh ijkl mnop\r' })).toEqual({
    kind: 'app_password',
    password: 'abcdefghijklmnop',
  });
});

test('refuses an empty value in quotes instead of using the default', () => {
  expect(problemOf('TEMPLATES_DIR', "''")).toContain('Remove the quotes');
});
