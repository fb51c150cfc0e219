import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { type Certificate, createCertificate } from '../../../src/simulator/tls/certificate.ts';
import { type ServiceSetup, startService } from '../service.ts';
import { ConnectionLost, createServerConnection } from './faulty-connection.ts';
import {
  type Copy,
  type FaultPlan,
  type FaultStage,
  type ServerFault,
  serveSession,
} from './faulty-session.ts';

/** What the server has seen so far. */
export interface FaultySmtpLog {
  readonly copies: readonly Copy[];
  /** Number of connections so far, and of those that are closed. */
  readonly connections: number;
  readonly closed: number;
  readonly logins: number;
  /** Number of bytes of floods that clients have read. */
  readonly floodedBytes: number;
  /** Commands that were not encrypted. */
  readonly unencryptedCommands: readonly string[];
}

export interface FaultySmtp extends AsyncDisposable {
  /** Value for SMTP_URL: STARTTLS, then a login. */
  readonly url: string;
  readonly port: number;
  /** PEM of the CA that signed its certificate. */
  readonly ca: string;
  readonly log: FaultySmtpLog;
  /** Resolves once the condition is true; it is checked now and after each change. */
  waitFor(condition: (log: FaultySmtpLog) => boolean): Promise<void>;
}

/** Returns a plan with this fault the first `times` times that the stage is reached. */
export function failAt(stage: FaultStage, fault: ServerFault, times = 1): FaultPlan {
  let remaining = times;
  return (current) => (current === stage && remaining-- > 0 ? fault : null);
}

/** Starts an SMTP server over real TCP and TLS that fails at any stage of a session, as planned. */
export async function startFaultySmtp(
  plan: FaultPlan,
  certificate: Certificate = createCertificate(['localhost']),
): Promise<FaultySmtp> {
  const context = createSecureContext(certificate);
  const copies: Copy[] = [];
  const unencryptedCommands: string[] = [];
  const log = { copies, unencryptedCommands, connections: 0, closed: 0, logins: 0, floodedBytes: 0 };
  const checks = new Set<() => void>();
  const sockets = new Set<Socket>();
  const failures: unknown[] = [];
  const notifyWaiters = () => {
    for (const check of checks) check();
  };

  const server = createServer({ noDelay: true }, (socket) => {
    const connection = ++log.connections;
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      log.closed += 1;
      notifyWaiters();
    });
    const session = {
      plan,
      connection,
      context,
      onUnencrypted: (line: string) => void unencryptedCommands.push(line),
      onLogin: () => {
        log.logins += 1;
      },
      onCopy: (copy: Copy) => {
        copies.push(copy);
        notifyWaiters();
      },
    };
    const onFlood = (bytes: number) => {
      log.floodedBytes += bytes;
    };
    serveSession(session, createServerConnection(socket, onFlood)).catch((error: unknown) => {
      if (!(error instanceof ConnectionLost)) failures.push(error);
      socket.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const { port } = server.address() as AddressInfo;
  return {
    url: `smtp://localhost:${port}`,
    port,
    ca: certificate.ca,
    log,
    waitFor(condition) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const check = () => {
        if (condition(log)) resolve();
      };
      checks.add(check);
      check();
      return promise.finally(() => checks.delete(check));
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
      if (failures.length > 0) throw failures[0];
    },
  };
}

/** Starts the whole service, which sends through a server that fails as planned. */
export async function startWithFaults(plan: FaultPlan, setup: Partial<ServiceSetup> = {}) {
  const stack = new AsyncDisposableStack();
  const gmail = stack.use(await startFaultySmtp(plan));
  const service = stack.use(await startService({ smtp: gmail.url, ca: gmail.ca, ...setup }));
  return { gmail, service, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
