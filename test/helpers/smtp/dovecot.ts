import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { type Daemon, startDaemon } from './daemon.ts';

const VERSION = spawnSync('dovecot', ['--version'], { encoding: 'utf8' }).stdout ?? '';

/**
 * Whether Dovecot 2.3 is installed and can be started, which only root can. Later versions have
 * another configuration. Without it the tests are skipped, but fail if CI=true.
 */
export const hasDovecot = (VERSION.startsWith('2.3.') && userInfo().uid === 0) || process.env.CI === 'true';

/** A real Dovecot that only authenticates, for the SASL of Postfix. */
export interface Dovecot extends Daemon {
  /** Value of `smtpd_sasl_path`. */
  readonly socket: string;
}

/**
 * Starts Dovecot with XOAUTH2 as the only mechanism, configured for Google as its documentation
 * shows.
 *
 * @param tokenInfoUrl Google's tokeninfo endpoint
 */
export async function startDovecot(tokenInfoUrl: string): Promise<Dovecot> {
  const dir = await mkdtemp(join(tmpdir(), 'outtray-dovecot-'));
  await chmod(dir, 0o755);
  const config = join(dir, 'dovecot.conf');
  await writeFile(config, configOf(dir));
  await writeOauthConfig(dir, tokenInfoUrl);
  const daemon = await startDaemon('dovecot', ['-F', '-c', config], { dir, started: 'starting up' });
  return { socket: join(dir, 'auth'), ...daemon };
}

/** Writes the file that `oauthPassdb` names. */
export function writeOauthConfig(dir: string, tokenInfoUrl: string): Promise<void> {
  return writeFile(
    join(dir, 'oauth2.conf'),
    `tokeninfo_url = ${tokenInfoUrl}?access_token=\nusername_attribute = email\nscope = https://mail.google.com/\n`,
  );
}

/** The setting that accepts the access tokens of Google. */
export function oauthPassdb(dir: string): string {
  return `passdb {
  driver = oauth2
  mechanisms = xoauth2
  args = ${dir}/oauth2.conf
}`;
}

function configOf(dir: string): string {
  return `
base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/log
auth_verbose = yes
protocols =
ssl = no
auth_mechanisms = xoauth2
${oauthPassdb(dir)}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}
service auth {
  unix_listener ${dir}/auth {
    mode = 0666
  }
}
`;
}
