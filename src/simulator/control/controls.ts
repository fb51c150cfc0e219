import type { LoginFault } from '../auth/authenticator.ts';
import type { RelaySettings } from '../gmail/relay.ts';
import type { DailyLimit, ThrottleReply } from '../gmail/sending-limits.ts';
import type { ImapServer } from '../imap/imap-server.ts';
import type { GmailServer, PortFault } from '../smtp/smtp-server.ts';
import type { SimulatorState } from '../state.ts';
import type { Certificate, CertificateKind } from '../tls/certificate.ts';

export const PORTS = ['starttls', 'tls', 'imap'] as const;
export type PortName = (typeof PORTS)[number];

/** Faults and settings that can be changed while the simulator runs. */
export interface Controls {
  /** Changes the password for new logins. */
  setPassword(password: string): void;
  /** Makes the next `times` logins fail, or all if not given; null ends the fault. */
  setLoginFault(fault: LoginFault | null, times?: number): void;
  /**
   * Refuses messages of a user above the limit with 550 5.4.5. Counting starts now; null removes
   * the limit.
   */
  setDailyLimit(limit: DailyLimit | null): void;
  /** Refuses the next transactions at MAIL, with 421 4.7.0 by default. */
  throttle(transactions: number, reply?: ThrottleReply): void;
  /**
   * Closes the connections of a port and blocks it. Null reopens the same port, and rejects if it
   * is taken by then.
   */
  blockPort(port: PortName, fault: PortFault | null): Promise<void>;
  /**
   * Sets the certificate of all ports. Closes every connection, so that the next message uses it.
   */
  setCertificate(kind: CertificateKind): void;
  /**
   * Sets whether EHLO offers STARTTLS, which a proxy may strip. Closes the connections of that
   * port.
   */
  offerStarttls(offered: boolean): void;
  /**
   * Acts as the Workspace relay, which needs no login and does not rewrite From; null ends it.
   * Closes every connection.
   */
  setRelay(relay: RelaySettings | null): void;
}

/** The servers of the ports. */
export interface Servers {
  readonly starttls: GmailServer;
  readonly tls: GmailServer;
  readonly imap: ImapServer;
}

export function createControls(
  state: SimulatorState,
  servers: Servers,
  certificates: Readonly<Record<CertificateKind, Certificate>>,
): Controls {
  const { authenticator, dailyLimiter, throttle } = state;
  return {
    setPassword: (password) => {
      authenticator.secret = password;
    },
    setLoginFault: (fault, times = Number.POSITIVE_INFINITY) => authenticator.setFault(fault, times),
    setDailyLimit: (limit) => dailyLimiter.setLimit(limit),
    throttle: (transactions, reply = 'try-again-later') => throttle.start(transactions, reply),
    blockPort: (port, fault) => servers[port].block(fault),
    setCertificate: (kind) => {
      for (const port of PORTS) servers[port].setCertificate(certificates[kind]);
    },
    offerStarttls: (offered) => servers.starttls.offerStarttls(offered),
    setRelay: (relay) => {
      state.relay = relay;
      for (const port of ['starttls', 'tls'] as const) servers[port].requireLogin(relay === null);
    },
  };
}
