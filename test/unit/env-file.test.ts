import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempDisposableSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { EnvFileError, loadEnvFile } from '../../src/config/env-file.ts';

function folderWith(content: string | Uint8Array | null) {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'outtray-'));
  const file = join(folder.path, '.env');
  if (content !== null) writeFileSync(file, content);
  return { folder: folder.path, file, [Symbol.dispose]: () => folder.remove() };
}

/** Returns the environment after loading `.env` into it. */
function load(content: string | Uint8Array, env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  using directory = folderWith(content);
  const loaded = { ...env };
  expect(loadEnvFile(loaded, directory.folder)).toBe(directory.file);
  return loaded;
}

function refusalOf(folder: string): string {
  try {
    loadEnvFile({}, folder);
  } catch (error) {
    if (error instanceof EnvFileError) return error.message;
    throw error;
  }
  throw new Error('the file was accepted');
}

test('a folder without .env changes nothing', () => {
  using directory = folderWith(null);
  const env = { GMAIL_USER: 'bot@acme.com' };
  expect(loadEnvFile(env, directory.folder)).toBeNull();
  expect(env).toEqual({ GMAIL_USER: 'bot@acme.com' });
});

test('values lose quotes, comments and surrounding spaces', () => {
  const content = [
    'GMAIL_APP_PASSWORD="abcd efgh ijkl mnop"',
    "GMAIL_FROM='Acme <no-reply@acme.com>'",
    'export PORT=4000',
    '  LOG_LEVEL =  debug  # comment',
    '# RETAIN=1h',
    'GMAIL_ACCOUNTS=\'[{"user": "bot@acme.com",\n  "app_password": "x=y"}]\'',
    'GMAIL_ALIASES=',
  ];
  expect(load(content.join('\n'))).toEqual({
    GMAIL_APP_PASSWORD: 'abcd efgh ijkl mnop',
    GMAIL_FROM: 'Acme <no-reply@acme.com>',
    PORT: '4000',
    LOG_LEVEL: 'debug',
    GMAIL_ACCOUNTS: '[{"user": "bot@acme.com",\n  "app_password": "x=y"}]',
    GMAIL_ALIASES: '',
  });
});

test.each([
  ['carriage returns before line feeds', 'PORT=4000\r\nLOG_LEVEL=debug\r\n'],
  ['carriage returns alone', 'PORT=4000\rLOG_LEVEL=debug\r'],
  ['a byte order mark', '\uFEFFPORT=4000\nLOG_LEVEL=debug'],
])('a file with %s is read normally', (_, content) => {
  expect(load(content)).toEqual({ PORT: '4000', LOG_LEVEL: 'debug' });
});

test('a variable set in the environment wins, even if it is empty', () => {
  expect(load('PORT=4000\nLOG_LEVEL=debug\nRETAIN=1h', { PORT: '5000', LOG_LEVEL: '' })).toEqual({
    PORT: '5000',
    LOG_LEVEL: '',
    RETAIN: '1h',
  });
});

test('a secret in the environment wins over its file in .env, and vice versa', () => {
  expect(
    load('API_KEYS_FILE=/run/keys\nGMAIL_APP_PASSWORD=x', {
      API_KEYS: 'a',
      GMAIL_APP_PASSWORD_FILE: '/run/p',
    }),
  ).toEqual({
    API_KEYS: 'a',
    GMAIL_APP_PASSWORD_FILE: '/run/p',
  });
});

test.each([
  [
    'a value without its closing quote',
    'GMAIL_FROM="Acme <a@acme.com>\nPORT=4000\nTEMPLATES_DIR="/data"\n',
    'GMAIL_FROM has no closing quote',
  ],
  ['UTF-16', Buffer.from('\uFEFFPORT=4000', 'utf16le'), 'is not UTF-8 text. Save it as UTF-8'],
  ['UTF-16 without a byte order mark', Buffer.from('PORT=4000', 'utf16le'), 'is not UTF-8 text'],
  ['Latin-1', Buffer.from('GMAIL_FROM=Zoë <a@acme.com>', 'latin1'), 'is not UTF-8 text'],
  [
    'a certificate file that does not exist',
    'NODE_EXTRA_CA_CERTS=/nowhere/ca.pem',
    'NODE_EXTRA_CA_CERTS names cannot be used: no such file',
  ],
])('an error for %s names the file, without its values', (_, content, reason) => {
  using directory = folderWith(content);
  const message = refusalOf(directory.folder);
  expect(message).toContain(directory.file);
  expect(message).toContain(reason);
  expect(message).not.toContain('acme.com');
});

test('an error for a folder, a named pipe or a dangling link names the file', () => {
  const makers = [
    mkdirSync,
    (path: string) => execFileSync('mkfifo', [path]),
    (path: string) => symlinkSync('/nowhere/.env', path),
  ];
  for (const make of makers) {
    using directory = folderWith(null);
    make(directory.file);
    expect(refusalOf(directory.folder)).toMatch(
      new RegExp(`^${directory.file} (?:is not a file|cannot be read: no such file)`),
    );
  }
});

// Root can read every file.
test.skipIf(process.getuid?.() === 0)('an error for a file without read permission names the file', () => {
  using directory = folderWith('PORT=4000');
  chmodSync(directory.file, 0o000);
  expect(refusalOf(directory.folder)).toContain(`${directory.file} cannot be read: permission denied`);
});
