import type { ServiceAccountKey } from '../config/oauth-config.ts';
import { toGrantCredentials } from '../config/oauth-file.ts';
import { toIso } from '../core/time.ts';
import type { Check } from '../doctor/check.ts';
import { fixOf } from '../doctor/troubleshooting.ts';
import { MAIL_SCOPE } from './authorization.ts';
import { exchangeCode } from './exchange.ts';
import { checkTarget, writeLoginFile } from './login-file.ts';
import { type ConsentOptions, type LoginIo, receiveConsent } from './receive-consent.ts';
import { type Trial, type TrialOptions, tryLogin } from './try-login.ts';

export interface ConsentLogin extends ConsentOptions, TrialOptions {
  readonly kind: 'consent';
  /** The file to write. */
  readonly file: string;
}

export interface ServiceAccountLogin extends TrialOptions {
  readonly kind: 'service_account';
  readonly user: string;
  /** The file of the key. */
  readonly file: string;
  readonly key: ServiceAccountKey;
  /** GMAIL_OAUTH_TOKEN_URL or its default, if the key names no token endpoint. */
  readonly tokenUrl: string;
}

/**
 * Asks for consent in a browser, tries the login, and writes it to the file. Nothing is written if
 * Gmail refuses the login.
 *
 * @throws {LoginError} if there is no usable consent
 * @throws {InvalidValue} if the file cannot be written
 */
export async function logInByConsent(login: ConsentLogin, io: LoginIo): Promise<Trial> {
  const { user, client, file } = login;
  await checkTarget(file, user);
  const { request, code } = await receiveConsent(login, io);
  const { refreshToken, endsAt } = await exchangeCode(client, request, code, user);
  io.print(`\n${user} granted access. Logging in to Gmail…`);
  const { clientId, clientSecret, tokenUrl } = client;
  const grant = { clientId, clientSecret, refreshToken, tokenUri: tokenUrl, account: user, endsAt };
  const trial = await tryLogin(user, toGrantCredentials(grant, tokenUrl), login);
  printTrial(trial, user, io);
  if (trial.kind === 'refused') return trial;
  // Another login may have written it while this one waited for consent.
  await checkTarget(file, user);
  await writeLoginFile(file, grant);
  io.print(`Wrote ${file}.`);
  if (endsAt !== null) io.print(`Warning: this login ends on ${toIso(endsAt)}. ${fixOf('consent_testing')}`);
  return trial;
}

/** Prints what an administrator must delegate to a service account, and tries the login. */
export async function logInByServiceAccount(login: ServiceAccountLogin, io: LoginIo): Promise<Trial> {
  const { user, key, tokenUrl } = login;
  const { clientId, clientEmail, privateKey } = key;
  io.print(
    [
      'An administrator of the Workspace must delegate this scope to this client id, at https://admin.google.com/ac/owl/domainwidedelegation:\n',
      `  client id  ${clientId ?? `the unique id of ${clientEmail}, in the Google Cloud console`}`,
      `  scope      ${MAIL_SCOPE}\n`,
      `Logging in to Gmail as ${user}…`,
    ].join('\n'),
  );
  const credentials = { kind: 'service_account', clientEmail, privateKey, tokenUrl } as const;
  const trial = await tryLogin(user, credentials, login);
  printTrial(trial, user, io);
  return trial;
}

/** Prints how a login ended, and the fix if it failed. */
export function printTrial(trial: Trial, user: string, io: Pick<LoginIo, 'print'>): void {
  if (trial.kind === 'accepted') {
    io.print(`Logged in to ${trial.server} as ${user}.`);
    return;
  }
  io.print(
    trial.kind === 'refused' ? 'The login failed.' : 'The login was not tried: no server can be used.',
  );
  printFailures(trial.failures, io);
}

/** Prints each failed check with its fix. */
export function printFailures(failures: readonly Check[], { print }: Pick<LoginIo, 'print'>): void {
  for (const { name, target, detail, advice } of failures)
    print(`  ${name} ${target}: ${detail}\n  ${advice ?? ''}`);
}
