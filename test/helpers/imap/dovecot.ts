import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rename, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Certificate, createCertificate } from '../../../src/simulator/tls/certificate.ts';
import { freePort } from '../free-port.ts';
import { type Daemon, startDaemon } from '../smtp/daemon.ts';
import { hasDovecot, oauthPassdb, writeOauthConfig } from '../smtp/dovecot.ts';

/** Whether Dovecot can serve IMAP (Debian: dovecot-imapd). Fails if CI=true and it cannot. */
export const hasImapDovecot =
  hasDovecot && (existsSync('/usr/lib/dovecot/imap') || process.env.CI === 'true');

/** Owner of the mails: nobody and nogroup of Debian. */
const OWNER = { uid: 65_534, gid: 65_534 };

export interface ImapDovecotOptions {
  readonly certificate?: Certificate;
  /** Name of the folder with the attribute \Sent, which is localized by default. */
  readonly sentName?: string;
  /** Google's tokeninfo endpoint, for XOAUTH2. Without it only the password is accepted. */
  readonly tokenInfoUrl?: string;
}

/** A real IMAP server. Every user name can log in, and has mailboxes of its own. */
export interface ImapDovecot extends Daemon {
  /** TLS from the first byte, and STARTTLS: values of IMAP_URL. */
  readonly url: string;
  readonly starttlsUrl: string;
  readonly port: number;
  readonly password: string;
  /** PEM of the CA that signed its certificate for localhost. */
  readonly ca: string;
  readonly sentName: string;
  /** Puts a mail into a folder, as a delivery agent does. */
  deliver(user: string, raw: string, options?: DeliveryOptions): Promise<void>;
  /** Returns the flags of each mail in INBOX, without `\\Recent`. */
  flagsOf(user: string): Promise<string[][]>;
  /** Ends the sessions of a user. */
  kick(user: string): Promise<void>;
  /** Gives the folder another UIDVALIDITY, and ends the sessions of the user. */
  changeUidValidity(user: string, folder: string): Promise<void>;
}

export interface DeliveryOptions {
  /** INBOX by default. */
  readonly folder?: string;
  /** INTERNALDATE, in epoch ms. Now by default. */
  readonly receivedAt?: number;
}

/** Starts Dovecot with its own ports and folder, apart from that of the system. */
export async function startImapDovecot({
  certificate = createCertificate(['localhost']),
  sentName = 'Envoyés',
  tokenInfoUrl,
}: ImapDovecotOptions = {}): Promise<ImapDovecot> {
  const dir = await mkdtemp(join(tmpdir(), 'outtray-imap-'));
  const [starttlsPort, port] = [await freePort(), await freePort()];
  const password = 'abcdefghijklmnop';
  await chmod(dir, 0o755);
  await mkdir(join(dir, 'homes'), { mode: 0o777 });
  await chown(join(dir, 'homes'), OWNER.uid, OWNER.gid);
  await writeFile(join(dir, 'cert.pem'), certificate.cert);
  await writeFile(join(dir, 'key.pem'), certificate.key, { mode: 0o600 });
  if (tokenInfoUrl !== undefined) await writeOauthConfig(dir, tokenInfoUrl);
  const config = join(dir, 'dovecot.conf');
  const settings = { dir, starttlsPort, port, sentName, password, hasTokens: tokenInfoUrl !== undefined };
  await writeFile(config, configOf(settings));
  const daemon = await startDaemon('dovecot', ['-F', '-c', config], { dir, started: 'starting up' });
  const doveadm = (...args: string[]) => promisify(execFile)('doveadm', ['-c', config, ...args]);
  const kick = async (user: string) => {
    // It exits with an error if the user has no session.
    await doveadm('kick', user).catch(() => {});
  };
  let delivered = 0;
  return {
    ...daemon,
    url: `imaps://localhost:${port}`,
    starttlsUrl: `imap://localhost:${starttlsPort}`,
    port,
    password,
    ca: certificate.ca,
    sentName,
    async deliver(user, raw, { folder = 'INBOX', receivedAt = Date.now() } = {}) {
      const maildir = join(dir, 'homes', user, 'Maildir');
      const path = folder === 'INBOX' ? maildir : join(maildir, `.${folder}`);
      for (const each of ['tmp', 'cur', 'new']) await makeFolders(join(path, each), join(dir, 'homes'));
      delivered += 1;
      const name = `${Math.floor(receivedAt / 1000)}.M${delivered}P${process.pid}.test`;
      await writeFile(join(path, 'tmp', name), raw, { mode: 0o600 });
      await chown(join(path, 'tmp', name), OWNER.uid, OWNER.gid);
      await utimes(join(path, 'tmp', name), receivedAt / 1000, receivedAt / 1000);
      await rename(join(path, 'tmp', name), join(path, 'new', name));
    },
    async flagsOf(user) {
      const { stdout } = await doveadm('-f', 'tab', 'fetch', '-u', user, 'flags', 'mailbox', 'INBOX', 'all');
      const [_title, ...lines] = stdout.trimEnd().split('\n');
      return lines.map((line) => line.split(' ').filter((flag) => flag !== '' && flag !== '\\Recent'));
    },
    kick,
    async changeUidValidity(user, folder) {
      await doveadm('mailbox', 'update', '-u', user, '--uid-validity', '4000000000', folder);
      await kick(user);
    },
  };
}

/** Creates a folder and its parents up to `root`, for the owner of the mails. */
async function makeFolders(path: string, root: string): Promise<void> {
  if (path === root) return;
  await makeFolders(join(path, '..'), root);
  const isNew = await mkdir(path, { mode: 0o700 }).then(
    () => true,
    (error) => {
      if (error.code === 'EEXIST') return false;
      throw error;
    },
  );
  if (isNew) await chown(path, OWNER.uid, OWNER.gid);
}

interface Settings {
  readonly dir: string;
  readonly starttlsPort: number;
  readonly port: number;
  readonly sentName: string;
  readonly password: string;
  readonly hasTokens: boolean;
}

function configOf({ dir, starttlsPort, port, sentName, password, hasTokens }: Settings): string {
  return `
base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/log
auth_verbose = yes
auth_failure_delay = 0
listen = 127.0.0.1
protocols = imap
ssl = required
ssl_cert = <${dir}/cert.pem
ssl_key = <${dir}/key.pem
auth_mechanisms = plain${hasTokens ? ' xoauth2' : ''}
${hasTokens ? oauthPassdb(dir) : ''}
passdb {
  driver = static
  args = password=${password}
}
userdb {
  driver = static
  args = uid=${OWNER.uid} gid=${OWNER.gid} home=${dir}/homes/%u
}
mail_location = maildir:~/Maildir:UTF-8
mail_max_userip_connections = 0
namespace inbox {
  inbox = yes
  separator = /
  mailbox "${sentName}" {
    auto = subscribe
    special_use = \\Sent
  }
}
service imap-login {
  inet_listener imap {
    port = ${starttlsPort}
  }
  inet_listener imaps {
    port = ${port}
    ssl = yes
  }
}
`;
}
