import { type Config, ConfigError, parseConfig } from '../../config/config.ts';
import { type Environment, isSet, type Problem, readSettings } from '../../config/environment.ts';
import { describeMisspelling, findMisspellings } from '../../config/misspelling.ts';
import { logsIn, parseSmtpUrl } from '../../config/smtp-url.ts';
import { type Check, type CheckResult, pass, toCheck } from '../check.ts';

export interface ReadConfiguration {
  readonly checks: readonly Check[];
  /** The valid part of the configuration. Without accounts if there are no usable credentials. */
  readonly config: Pick<
    Config,
    | 'accounts'
    | 'smtp'
    | 'maxMessageBytes'
    | 'fromPolicy'
    | 'mailbox'
    | 'queue'
    | 'templatesDir'
    | 'webhooks'
    | 'alertWebhookUrl'
    | 'apiKeys'
  >;
  /** The invalid variables. The configuration has their defaults. */
  readonly invalid: ReadonlySet<string>;
}

/**
 * Placeholders for required variables. They are never sent: no account with a placeholder is
 * checked.
 */
const PLACEHOLDER_KEYS = { API_KEYS: `doctor:sha256:${'0'.repeat(64)}` };
export const PLACEHOLDER_USER = 'nobody@outtray.invalid';

/**
 * Reads the environment as `serve` does, reports every problem, and returns the valid part of the
 * configuration for the other checks.
 *
 * @param envFile the `.env` file that was loaded into `env`, if any
 */
export function readConfiguration(env: Environment, envFile: string | null = null): ReadConfiguration {
  const envFileChecks =
    envFile === null
      ? []
      : [configurationCheck('.env', pass(`loaded from ${envFile}; the environment takes precedence`))];
  try {
    const { config, warnings } = parseConfig(env);
    return {
      checks: [
        ...envFileChecks,
        configurationCheck('', pass(describeSettings(env))),
        ...warnings.map(toWarning),
      ],
      config,
      invalid: new Set(),
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const misspellings = findMisspellings(env, readSettings(env)).map(describeMisspelling);
    const checks = [...envFileChecks, ...error.problems.map(toFailure), ...misspellings.map(toWarning)];
    return { checks, ...parseValidPart(env) };
  }
}

function describeSettings(env: Environment): string {
  const settings = Object.values(readSettings(env)).filter(isSet);
  return `the ${settings.length} variables that are set are well-formed; the resources they name are checked below`;
}

/**
 * Parses the configuration without the invalid variables. Has no accounts or servers if their
 * variables are invalid.
 */
function parseValidPart(env: Environment): Pick<ReadConfiguration, 'config' | 'invalid'> {
  const invalid = new Set<string>();
  for (;;) {
    const validEntries = Object.entries(env).filter(([name]) => !invalid.has(toVariable(name)));
    const keys = invalid.has('API_KEYS') ? PLACEHOLDER_KEYS : {};
    try {
      return {
        config: withoutServers(parseConfig({ ...Object.fromEntries(validEntries), ...keys }).config, invalid),
        invalid,
      };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const names = error.problems.map(({ variable }) => toVariable(variable));
      // No new variable is invalid: an account is missing.
      if (names.every((name) => invalid.has(name))) {
        const withoutAccounts = validEntries.filter(([name]) => !name.startsWith('GMAIL_'));
        const rest = { ...Object.fromEntries(withoutAccounts), ...keys };
        const { config } = parseConfig({ ...rest, ...placeholderAccount(rest) });
        return { config: { ...withoutServers(config, invalid), accounts: [] }, invalid };
      }
      for (const name of names) invalid.add(name);
    }
  }
}

/** A password would contradict `login=none`. */
function placeholderAccount({ SMTP_URL }: Environment): Environment {
  const withoutLogin = SMTP_URL?.trim() && !parseSmtpUrl(SMTP_URL).some(logsIn);
  return {
    GMAIL_USER: PLACEHOLDER_USER,
    ...(withoutLogin ? {} : { GMAIL_APP_PASSWORD: 'aaaaaaaaaaaaaaaa' }),
  };
}

/** Removes default servers if SMTP_URL or IMAP_URL is invalid: the operator means different ones. */
function withoutServers(config: Config, invalid: ReadonlySet<string>): Config {
  const { smtp, mailbox } = config;
  const isKnown = !invalid.has('SMTP_URL') && !invalid.has('IMAP_URL');
  return {
    ...config,
    smtp: invalid.has('SMTP_URL') ? { ...smtp, servers: [] } : smtp,
    mailbox: isKnown ? mailbox : { ...mailbox, server: null },
  };
}

function toVariable(name: string): string {
  return name.replace(/_FILE$/, '');
}

function toFailure({ variable, message }: Problem): Check {
  const { problem, fix } = splitProblem(message);
  const advice = fix ?? `Fix ${variable}: see docs/reference/configuration.md.`;
  return configurationCheck(variable, { status: 'fail', detail: problem, code: 'configuration', advice });
}

function toWarning(warning: string): Check {
  const { problem, fix } = splitProblem(warning);
  const target = /^[A-Z][A-Z0-9_]+/.exec(warning)?.[0] ?? '';
  return configurationCheck(target, {
    status: 'warn',
    detail: problem,
    code: 'configuration',
    advice: fix ?? 'docs/reference/configuration.md lists the variables.',
  });
}

/** Splits a message, which states the problem and then the fix. */
export function splitProblem(message: string): { problem: string; fix: string | null } {
  const [, problem = message, fix = null] = /^(.*?[^.]\.|.*?:) (.+)$/s.exec(message) ?? [];
  return { problem, fix };
}

function configurationCheck(target: string, result: CheckResult): Check {
  return toCheck({ id: 'configuration', name: 'Configuration', target }, result);
}
