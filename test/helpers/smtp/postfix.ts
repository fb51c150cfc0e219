import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { createCertificate } from '../../../src/simulator/tls/certificate.ts';
import { freePort } from '../free-port.ts';
import { type Daemon, startDaemon } from './daemon.ts';

const DAEMONS = '/usr/lib/postfix/sbin';

/**
 * Whether Postfix is installed and can be started, which only root can. Without it the tests are
 * skipped, but fail if CI=true.
 */
export const hasPostfix =
  (spawnSync('postconf', ['mail_version']).status === 0 && userInfo().uid === 0) || process.env.CI === 'true';

/** A real Postfix with its own port and folder, apart from that of the system. */
export interface Postfix extends Daemon {
  readonly port: number;
  /** PEM of the CA that signed its certificate for localhost. */
  readonly ca: string;
  /** Replaces the settings given at the start, for new connections. */
  configure(settings: Readonly<Record<string, string>>): Promise<void>;
}

/**
 * Starts a relay that requires TLS and discards what it accepts.
 *
 * @param settings of main.cf, such as `mynetworks`
 */
export async function startPostfix(settings: Readonly<Record<string, string>>): Promise<Postfix> {
  const dir = await mkdtemp(join(tmpdir(), 'outtray-postfix-'));
  const port = await freePort();
  const { ca, cert, key } = createCertificate(['localhost']);
  await chmod(dir, 0o755);
  for (const folder of ['queue', 'data']) await mkdir(join(dir, folder));
  await chown(join(dir, 'data'), idOf('-u'), idOf('-g'));
  await writeFile(join(dir, 'cert.pem'), cert);
  await writeFile(join(dir, 'key.pem'), key, { mode: 0o600 });
  await writeFile(join(dir, 'master.cf'), masterOf(port));
  const write = (own: Readonly<Record<string, string>>) => writeFile(join(dir, 'main.cf'), mainOf(dir, own));
  await write(settings);
  const check = spawnSync('postfix', ['-c', dir, 'check'], { encoding: 'utf8' });
  if (check.status !== 0) throw new Error(`postfix check: ${check.stderr}`);
  const daemon = await startDaemon(join(DAEMONS, 'master'), ['-c', dir, '-d'], {
    dir,
    started: 'daemon started',
  });
  return {
    port,
    ca,
    ...daemon,
    async configure(next) {
      await write(next);
      // Its processes read the settings when they start; the master ends the idle ones.
      const reload = spawnSync('postfix', ['-c', dir, 'reload'], { encoding: 'utf8' });
      if (reload.status !== 0) throw new Error(`postfix reload: ${reload.stderr}`);
    },
  };
}

function idOf(option: '-u' | '-g'): number {
  return Number(spawnSync('id', [option, 'postfix'], { encoding: 'utf8' }).stdout);
}

function mainOf(dir: string, settings: Readonly<Record<string, string>>): string {
  const all = {
    compatibility_level: '3.6',
    queue_directory: join(dir, 'queue'),
    data_directory: join(dir, 'data'),
    daemon_directory: DAEMONS,
    maillog_file: join(dir, 'log'),
    maillog_file_prefixes: tmpdir(),
    inet_interfaces: '127.0.0.1',
    inet_protocols: 'ipv4',
    myhostname: 'relay.test',
    mydestination: '',
    alias_maps: '',
    local_recipient_maps: '',
    default_transport: 'discard',
    smtpd_relay_restrictions: 'permit_mynetworks, reject_unauth_destination',
    smtpd_tls_cert_file: join(dir, 'cert.pem'),
    smtpd_tls_key_file: join(dir, 'key.pem'),
    smtpd_tls_security_level: 'encrypt',
    ...settings,
  };
  return Object.entries(all)
    .map(([name, value]) => `${name} = ${value}\n`)
    .join('');
}

function masterOf(port: number): string {
  return [
    `127.0.0.1:${port} inet n - n - - smtpd`,
    'cleanup unix n - n - 0 cleanup',
    'qmgr unix n - n 300 1 qmgr',
    'rewrite unix - - n - - trivial-rewrite',
    'bounce unix - - n - 0 bounce',
    'defer unix - - n - 0 bounce',
    'trace unix - - n - 0 bounce',
    'discard unix - - n - - discard',
    'error unix - - n - - error',
    'anvil unix - - n - 1 anvil',
    'tlsmgr unix - - n 1000? 1 tlsmgr',
    'proxymap unix - - n - - proxymap',
    'postlog unix-dgram n - n - 1 postlogd',
    '',
  ].join('\n');
}
