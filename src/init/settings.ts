import { resolve } from 'node:path';
import type { Environment } from '../config/environment.ts';
import { InvalidValue } from '../config/value-parsers.ts';

/** Variables in the order in which they are written. */
export type Settings = Readonly<Record<string, string>>;

/** Variables that decide which servers the checks reached. */
const SERVERS = ['SMTP_URL', 'SMTP_EHLO_NAME', 'GMAIL_OAUTH_TOKEN_URL'] as const;
/** Variables that decide where the service listens. */
const LISTENER = ['HOST', 'PORT'] as const;
const EXTRA_CA = 'NODE_EXTRA_CA_CERTS';

/** Returns the variables of the environment without which the service would differ from the checks. */
export function carriedSettings(env: Environment): Settings {
  const ca = env[EXTRA_CA] ? { [EXTRA_CA]: resolve(env[EXTRA_CA]) } : {};
  return { ...pick(LISTENER, env), ...carriedToContainer(env), ...ca };
}

/** Like `carriedSettings`, without the variables that name something of this machine. */
export function carriedToContainer(env: Environment): Settings {
  return pick(SERVERS, env);
}

function pick(names: readonly string[], env: Environment): Settings {
  const set = names.map((name) => [name, env[name]?.trim() ?? '']).filter(([, value]) => value !== '');
  return Object.fromEntries(set);
}

/** Formats a `.env` file. A shell, Outtray and Docker Compose read the same values from it. */
export function formatEnvFile(settings: Settings): string {
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${quote(name, value)}`);
  return `${['# Written by outtray init. All variables: docs/reference/configuration.md', ...lines].join('\n')}\n`;
}

/** No format of quotes has escapes that all readers know, so the value must not contain the quote. */
function quote(name: string, value: string): string {
  if (/^[\w.,:/@%+=-]*$/.test(value)) return value;
  if (!value.includes("'")) return `'${value}'`;
  if (!/["$`\\]/.test(value)) return `"${value}"`;
  throw new InvalidValue(
    `${name}: It contains both an apostrophe and another character that .env files reserve, so init cannot write it.`,
  );
}
