import type { Environment, Problem } from '../config/environment.ts';
import { type Config, ConfigError, parseConfig } from '../config.ts';
import { type Check, type Finding, pass, toCheck } from './report.ts';

export interface ReadConfiguration {
  readonly checks: readonly Check[];
  /** What can be checked all the same. No accounts where there are no usable credentials. */
  readonly config: Pick<Config, 'accounts' | 'smtp' | 'maxMessageBytes' | 'fromPolicy'>;
}

/** Stand-ins for what is required and plays no part here. They are never sent anywhere: no account that has one is checked. */
const STAND_IN_KEYS = { API_KEYS: `doctor:sha256:${'0'.repeat(64)}` };
const STAND_IN_ACCOUNT = { GMAIL_USER: 'nobody@outtray.invalid', GMAIL_APP_PASSWORD: 'aaaaaaaaaaaaaaaa' };

/** Reads the environment as `serve` does, and names all that is wrong with it; then goes on with what is right. */
export function readConfiguration(env: Environment, envFile: string | null = null): ReadConfiguration {
  const loaded = envFile === null ? [] : [line('.env', pass(`loaded from ${envFile}; the environment wins`))];
  try {
    const { config, warnings } = parseConfig(env);
    const lines = warnings.map(toWarning);
    return { checks: [...loaded, ...(lines.length > 0 ? lines : [line('', pass('every variable is set as it should be'))])], config };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const checks = [...loaded, ...error.problems.map(toFailure), ...error.warnings.map(toWarning)];
    return { checks, config: salvage(env, error.problems) };
  }
}

/** The configuration without the variables that are wrong; without accounts or servers, if it is theirs. */
function salvage(env: Environment, problems: readonly Problem[]): ReadConfiguration['config'] {
  const names = problems.map(({ variable }) => variable.replace(/_FILE$/, ''));
  const config = parseWithout(names, env);
  // The default would be others than those that were meant.
  return names.includes('SMTP_URL') ? { ...config, smtp: { ...config.smtp, servers: [] } } : config;
}

function parseWithout(names: readonly string[], env: Environment): ReadConfiguration['config'] {
  const wrong = new Set(names.flatMap((name) => [name, `${name}_FILE`]));
  const rest = Object.fromEntries(Object.entries(env).filter(([name]) => !wrong.has(name)));
  const keys = names.includes('API_KEYS') ? STAND_IN_KEYS : {};
  try {
    return parseConfig({ ...rest, ...keys }).config;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { SMTP_URL, MAX_MESSAGE_BYTES } = rest;
    return { ...parseConfig({ SMTP_URL, MAX_MESSAGE_BYTES, ...STAND_IN_KEYS, ...STAND_IN_ACCOUNT }).config, accounts: [] };
  }
}

function toFailure({ variable, message }: Problem): Check {
  const { what, mend } = split(message);
  const advice = mend ?? `Mend ${variable}: README.md says how.`;
  return line(variable, { status: 'fail', detail: what, code: 'configuration', advice });
}

function toWarning(warning: string): Check {
  const { what, mend } = split(warning);
  const target = /^[A-Z][A-Z0-9_]+/.exec(warning)?.[0] ?? '';
  return line(target, { status: 'warn', detail: what, code: 'configuration', advice: mend ?? 'README.md lists the variables.' });
}

/** The messages of the configuration say what is wrong, then how to mend it. */
function split(message: string): { what: string; mend: string | null } {
  const [, what = message, mend = null] = /^(.*?[^.]\.|.*?:) (.+)$/s.exec(message) ?? [];
  return { what, mend };
}

function line(target: string, finding: Finding): Check {
  return toCheck({ id: 'configuration', name: 'Configuration', target }, finding);
}
