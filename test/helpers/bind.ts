import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';

const NAMED = '/usr/sbin/named';

/** Whether bind9 is installed. Without it the tests are skipped, but fail if CI=true. */
export const hasBind = spawnSync(NAMED, ['-V']).status === 0 || process.env.CI === 'true';

export interface DnsServer extends AsyncDisposable {
  /** Address and port, for `Resolver.setServers`. */
  readonly address: string;
}

/**
 * Starts bind9 as the authoritative server of these zones, on 127.0.0.1 with its own folder. It
 * refuses names of other zones.
 *
 * @param zones records of each zone, without its SOA and NS; null: the zone cannot be loaded, and
 *   queries for it end with SERVFAIL
 */
export async function startBind(zones: Readonly<Record<string, string | null>>): Promise<DnsServer> {
  await using resources = new AsyncDisposableStack();
  const dir = resources.use(await mkdtempDisposable(join(tmpdir(), 'outtray-bind-'))).path;
  const port = await freePort();
  const names = Object.keys(zones);
  for (const name of names) {
    const records = zones[name];
    if (typeof records === 'string') await writeFile(join(dir, `${name}.zone`), `${HEADER}\n${records}\n`);
  }
  const config = [
    `options { directory "${dir}"; pid-file none; lock-file none; session-keyfile none;`,
    `  managed-keys-directory "${dir}"; listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; };`,
    '  recursion no; dnssec-validation no; notify no; };',
    'controls {};',
    ...names.map((name) => `zone "${name}" { type primary; file "${dir}/${name}.zone"; };`),
  ];
  await writeFile(join(dir, 'named.conf'), `${config.join('\n')}\n`);

  const child = spawn(NAMED, ['-g', '-c', join(dir, 'named.conf')], { stdio: ['ignore', 'ignore', 'pipe'] });
  resources.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  let log = '';
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`named exited:\n${log}`)));
    child.stderr.on('data', (chunk) => {
      log += chunk;
      if (/ running$/m.test(log)) resolve();
    });
  });
  child.stderr.removeAllListeners('data').resume();
  const started = resources.move();
  return { address: `127.0.0.1:${port}`, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

const HEADER = `$TTL 60
@ IN SOA ns.invalid. admin.invalid. 1 60 60 60 60
@ IN NS ns.invalid.`;
