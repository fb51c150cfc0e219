import { mkdtempDisposableSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { AccountConfig } from '../../src/config/account-config.ts';
import { type Config, ConfigError, parseConfig, type Reloadable } from '../../src/config/config.ts';
import type { Environment } from '../../src/config/environment.ts';
import type { Credentials } from '../../src/core/accounts/credentials.ts';

export const SECRET = 'Zx9-secret-of-the-crm-0123456789';
export const REQUIRED = {
  API_KEYS: `crm:${SECRET}`,
  GMAIL_USER: 'bot@acme.com',
  GMAIL_APP_PASSWORD: 'abcd efgh ijkl mnop',
};

export function configOf(env: Environment): Config {
  return parseConfig({ ...REQUIRED, ...env }).config;
}

/** Reads keys and accounts again, in the same environment. */
export function reloadOf(config: Config, env: Environment): Reloadable {
  return config.reload({ ...REQUIRED, ...env });
}

/** Returns the only account. */
export function accountOf(env: Environment): AccountConfig {
  const { accounts } = configOf(env);
  expect(accounts).toHaveLength(1);
  return accounts[0] as AccountConfig;
}

export function credentialsOf(env: Environment): Credentials | null {
  return accountOf(env).credentials?.() ?? null;
}

/** Replaces functions by what they return, so that configurations can be compared. */
export function plain({ reload: _, ...config }: Config) {
  return {
    ...config,
    accounts: config.accounts.map((account) => ({
      ...account,
      credentials: account.credentials?.() ?? null,
    })),
  };
}

/** Returns the error for an otherwise valid environment. */
export function errorOf(env: Environment): ConfigError {
  try {
    parseConfig({ ...REQUIRED, ...env });
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

/** Returns the problem of the only invalid variable. */
export function problemOf(variable: string, value: string, env: Environment = {}): string {
  const { problems } = errorOf({ ...env, [variable]: value });
  expect(problems).toEqual([{ variable, message: expect.any(String) }]);
  return problems[0]?.message ?? '';
}

/** Creates a file that is removed when the test ends. */
export function fileOf(
  content: string,
): Disposable & { readonly path: string; write(content: string): void; remove(): void } {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'outtray-'));
  const path = join(folder.path, 'secret');
  writeFileSync(path, content);
  return {
    path,
    write: (other) => writeFileSync(path, other),
    remove: () => rmSync(path),
    [Symbol.dispose]: () => folder.remove(),
  };
}
