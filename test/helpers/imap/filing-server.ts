import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { type Certificate, createCertificate } from '../../../src/simulator/tls/certificate.ts';
import type { ImapDovecot } from './dovecot.ts';

export interface FilingServerOptions {
  readonly certificate?: Certificate;
  /** Time from the acceptance of a message to its copy in the Sent folder, in ms. 0 by default. */
  readonly delayMs?: number;
}

/** A submission server, as of a mail provider that files what it accepts. */
export interface FilingServer extends AsyncDisposable {
  /** Value of SMTP_URL: TLS from the first byte. */
  readonly url: string;
  readonly port: number;
  /** PEM of the CA that signed its certificate for localhost. */
  readonly ca: string;
  /** The Message-IDs of the accepted messages, in the order of acceptance. */
  readonly accepted: readonly string[];
  /** Those of which a copy is filed. */
  readonly filed: readonly string[];
  /** Changes the delay for messages that are accepted from now on. */
  setDelay(ms: number): void;
}

/**
 * Starts a server that accepts every message of a user with Dovecot's password, and files a copy
 * into the Sent folder of that user.
 */
export async function startFilingServer(
  dovecot: ImapDovecot,
  { certificate = createCertificate(['localhost']), delayMs = 0 }: FilingServerOptions = {},
): Promise<FilingServer> {
  const accepted: string[] = [];
  const filed: string[] = [];
  const failures: unknown[] = [];
  const timers = new Set<NodeJS.Timeout>();
  const filing = new Set<Promise<void>>();
  let delay = delayMs;

  async function file(user: string, raw: Buffer, receivedAt: number, messageId: string): Promise<void> {
    try {
      await dovecot.deliver(user, raw.toString(), { folder: dovecot.sentName, receivedAt });
      filed.push(messageId);
    } catch (error) {
      failures.push(error);
    }
  }

  function fileLater(user: string, raw: Buffer): void {
    const acceptedAt = Date.now();
    const messageId = /^message-id:\s*(\S+)/im.exec(raw.toString('latin1'))?.[1] ?? '';
    accepted.push(messageId);
    const timer = setTimeout(() => {
      timers.delete(timer);
      const done = file(user, raw, acceptedAt, messageId).finally(() => filing.delete(done));
      filing.add(done);
    }, delay);
    timers.add(timer);
  }

  const server = new SMTPServer({
    secure: true,
    key: certificate.key,
    cert: certificate.cert,
    authMethods: ['PLAIN'],
    disableReverseLookup: true,
    onAuth({ username = '', password }, _session, callback) {
      if (password === dovecot.password) callback(null, { user: username });
      else callback(new Error('Invalid credentials'));
    },
    onData(stream, { user }, callback) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.once('end', () => {
        fileLater(String(user), Buffer.concat(chunks));
        callback();
      });
    },
  });
  // Errors of a connection concern only the client.
  server.on('error', () => {});
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  const { port } = server.server.address() as AddressInfo;
  return {
    url: `smtps://localhost:${port}`,
    port,
    ca: certificate.ca,
    accepted,
    filed,
    setDelay(ms) {
      delay = ms;
    },
    async [Symbol.asyncDispose]() {
      for (const timer of timers) clearTimeout(timer);
      for (const connection of server.connections) connection.close();
      await new Promise<void>((resolve) => server.close(resolve));
      await Promise.all(filing);
      if (failures.length > 0) throw failures[0];
    },
  };
}
