import type { Environment } from '../config/environment.ts';
import type { SmtpServer } from '../config/smtp-url.ts';
import { InvalidValue } from '../config/value-parsers.ts';
import type { Trial } from '../login/try-login.ts';
import type { InitOptions } from './options.ts';
import { Canceled, type Terminal } from './terminal.ts';

/** The login was refused, and there is no terminal to ask again. The reason has been printed. */
export class LoginRefused extends Error {
  override readonly name = 'LoginRefused';
}

/** What each way to log in needs. */
export interface LoginContext {
  readonly user: string;
  readonly options: InitOptions;
  /** SMTP_URL, or Google's servers. */
  readonly servers: readonly SmtpServer[];
  readonly env: Environment;
  /** Null: there is none, so nothing is asked. */
  readonly terminal: Terminal | null;
  readonly print: (text: string) => void;
}

/** @throws {InvalidValue} naming the option that replaces the question, if there is no terminal */
export function requireTerminal(terminal: Terminal | null, option: string): Terminal {
  if (terminal === null)
    throw new InvalidValue(`${option}: It is required, because there is no terminal to ask on.`);
  return terminal;
}

/**
 * Returns whether the login can be used. It can if no server was reached: the doctor then reports
 * why.
 *
 * @throws {LoginRefused} if it cannot, and there is no terminal to ask again
 */
export function isUsable({ kind }: Trial, terminal: Terminal | null): boolean {
  if (kind !== 'refused') return true;
  if (terminal === null) throw new LoginRefused();
  return false;
}

/**
 * Asks whether to try the same login again.
 *
 * @throws {Canceled} if not
 * @throws {LoginRefused} if there is no terminal
 */
export async function confirmRetry(terminal: Terminal | null): Promise<void> {
  if (terminal === null) throw new LoginRefused();
  if (!(await terminal.confirm('Try again?', true))) throw new Canceled();
}
