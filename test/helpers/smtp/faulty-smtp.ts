import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { type Certificate, createCertificate } from '../../../src/simulator/tls/certificate.ts';
import { type ServiceSetup, startService } from '../service.ts';
import { type Copy, type Fault, type Plan, type Stage, serveFaultily } from './faulty-session.ts';
import { createWire, WireLost } from './faulty-wire.ts';

/** What came of it so far. */
export interface FaultyJournal {
  readonly copies: readonly Copy[];
  /** How many connections came, and how many of them are gone. */
  readonly connections: number;
  readonly closed: number;
  readonly logins: number;
  /** How much of its floods the clients took. */
  readonly floodedBytes: number;
  /** Each command that came unencrypted. */
  readonly heardInClear: readonly string[];
}

export interface FaultySmtp extends AsyncDisposable {
  /** As SMTP_URL takes it: STARTTLS, then a login. */
  readonly url: string;
  readonly port: number;
  /** PEM of the authority that signed its certificate. */
  readonly ca: string;
  readonly journal: FaultyJournal;
  /** Resolves as soon as the condition holds, asked now and after each change. */
  until(condition: (journal: FaultyJournal) => boolean): Promise<void>;
}

/** The fault at that stage, the first so many times; then all is well. */
export function strikes(stage: Stage, fault: Fault, times = 1): Plan {
  let left = times;
  return (at) => (at === stage && left-- > 0 ? fault : null);
}

/** A Gmail that breaks as planned, at any stage of a session, over real TCP and TLS. */
export async function startFaultySmtp(
  plan: Plan,
  certificate: Certificate = createCertificate(['localhost']),
): Promise<FaultySmtp> {
  const context = createSecureContext(certificate);
  const copies: Copy[] = [];
  const heardInClear: string[] = [];
  const journal = { copies, heardInClear, connections: 0, closed: 0, logins: 0, floodedBytes: 0 };
  const checks = new Set<() => void>();
  const sockets = new Set<Socket>();
  const failures: unknown[] = [];
  const changed = () => {
    for (const check of checks) check();
  };

  const server = createServer({ noDelay: true }, (socket) => {
    const connection = ++journal.connections;
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      journal.closed += 1;
      changed();
    });
    const session = {
      plan,
      connection,
      context,
      onClear: (line: string) => void heardInClear.push(line),
      onLogin: () => {
        journal.logins += 1;
      },
      onCopy: (copy: Copy) => {
        copies.push(copy);
        changed();
      },
    };
    const onFlood = (bytes: number) => {
      journal.floodedBytes += bytes;
    };
    serveFaultily(session, createWire(socket, onFlood)).catch((error: unknown) => {
      if (!(error instanceof WireLost)) failures.push(error);
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
    journal,
    until(condition) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const check = () => {
        if (condition(journal)) resolve();
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

/** The whole service, and a Gmail that breaks as planned for it to send through. */
export async function startWithFaults(plan: Plan, setup: Partial<ServiceSetup> = {}) {
  const stack = new AsyncDisposableStack();
  const gmail = stack.use(await startFaultySmtp(plan));
  const service = stack.use(await startService({ smtp: gmail.url, ca: gmail.ca, ...setup }));
  return { gmail, service, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
