import { type Config, ConfigError, parseConfig } from '../../config/config.ts';
import { type Environment, isSet, type Problem, readSettings } from '../../config/environment.ts';
import { describeMisspelling, findMisspellings } from '../../config/misspelling.ts';
import { type Check, type Finding, pass, toCheck } from '../report.ts';

export interface ReadConfiguration {
  readonly checks: readonly Check[];
  /** What can be checked all the same. No accounts where there are no usable credentials. */
  readonly config: Pick<
    Config,
    'accounts' | 'smtp' | 'maxMessageBytes' | 'fromPolicy' | 'queue' | 'templatesDir' | 'webhooks' | 'apiKeys'
  >;
  /** The variables that are wrong: the configuration has defaults in their place. */
  readonly wrong: ReadonlySet<string>;
}

/** Stand-ins for what is required and plays no part here. They are never sent anywhere: no account that has one is checked. */
const STAND_IN_KEYS = { API_KEYS: `doctor:sha256:${'0'.repeat(64)}` };
const STAND_IN_ACCOUNT = { GMAIL_USER: 'nobody@outtray.invalid', GMAIL_APP_PASSWORD: 'aaaaaaaaaaaaaaaa' };

/**
 * Reads the environment as `serve` does, and names all that is wrong with it; then goes on with what is right.
 *
 * @param envFile the `.env` file that was loaded into it, if any
 */
export function readConfiguration(env: Environment, envFile: string | null = null): ReadConfiguration {
  const loaded = envFile === null ? [] : [line('.env', pass(`loaded from ${envFile}; the environment wins`))];
  try {
    const { config, warnings } = parseConfig(env);
    return {
      checks: [...loaded, line('', pass(describeSet(env))), ...warnings.map(toWarning)],
      config,
      wrong: new Set(),
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const misspellings = findMisspellings(env, readSettings(env)).map(describeMisspelling);
    const checks = [...loaded, ...error.problems.map(toFailure), ...misspellings.map(toWarning)];
    return { checks, ...salvage(env) };
  }
}

function describeSet(env: Environment): string {
  const settings = Object.values(readSettings(env)).filter(isSet);
  return `the ${settings.length} variables that are set are well-formed; what they name is checked below`;
}

/** The configuration without the variables that are wrong; without accounts or servers, if it is theirs. */
function salvage(env: Environment): Pick<ReadConfiguration, 'config' | 'wrong'> {
  const wrong = new Set<string>();
  for (;;) {
    const rest = Object.entries(env).filter(([name]) => !wrong.has(toVariable(name)));
    const keys = wrong.has('API_KEYS') ? STAND_IN_KEYS : {};
    try {
      return {
        config: withoutServers(parseConfig({ ...Object.fromEntries(rest), ...keys }).config, wrong),
        wrong,
      };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const names = error.problems.map(({ variable }) => toVariable(variable));
      // Nothing new is wrong: what is missing is an account.
      if (names.every((name) => wrong.has(name))) {
        const others = rest.filter(([name]) => !name.startsWith('GMAIL_'));
        const { config } = parseConfig({ ...Object.fromEntries(others), ...keys, ...STAND_IN_ACCOUNT });
        return { config: { ...withoutServers(config, wrong), accounts: [] }, wrong };
      }
      for (const name of names) wrong.add(name);
    }
  }
}

/** The default servers are not the ones that were meant. */
function withoutServers(config: Config, wrong: ReadonlySet<string>): Config {
  return wrong.has('SMTP_URL') ? { ...config, smtp: { ...config.smtp, servers: [] } } : config;
}

function toVariable(name: string): string {
  return name.replace(/_FILE$/, '');
}

function toFailure({ variable, message }: Problem): Check {
  const { what, mend } = split(message);
  const advice = mend ?? `Fix ${variable}: see docs/reference/configuration.md.`;
  return line(variable, { status: 'fail', detail: what, code: 'configuration', advice });
}

function toWarning(warning: string): Check {
  const { what, mend } = split(warning);
  const target = /^[A-Z][A-Z0-9_]+/.exec(warning)?.[0] ?? '';
  return line(target, {
    status: 'warn',
    detail: what,
    code: 'configuration',
    advice: mend ?? 'docs/reference/configuration.md lists the variables.',
  });
}

/** The messages of the configuration say what is wrong, then how to mend it. */
export function split(message: string): { what: string; mend: string | null } {
  const [, what = message, mend = null] = /^(.*?[^.]\.|.*?:) (.+)$/s.exec(message) ?? [];
  return { what, mend };
}

function line(target: string, finding: Finding): Check {
  return toCheck({ id: 'configuration', name: 'Configuration', target }, finding);
}
