/** What can be made to go wrong while the simulator runs, and made good again. */

import type { LoginFault } from '../auth/authenticator.ts';
import type { DailyLimit, ThrottleReply } from '../smtp/sending-limits.ts';
import type { GmailServer, PortFault } from '../smtp/smtp-server.ts';
import type { SimulatorState } from '../state.ts';
import type { Certificate, CertificateKind } from '../tls/certificate.ts';

export const PORTS = ['starttls', 'tls'] as const;
export type PortName = (typeof PORTS)[number];

export interface Controls {
  /** Changes the password for logins from now on. */
  setPassword(password: string): void;
  /** Makes the next `times` logins fail in this way, all if not given; null lets them in again. */
  setLoginFault(fault: LoginFault | null, times?: number): void;
  /** Refuses what a user sends past the limit with 550 5.4.5, counted from now on; null lifts the limit. */
  setDailyLimit(limit: DailyLimit | null): void;
  /** Turns away the next so many transactions at MAIL: with 421 4.7.0 unless told otherwise. */
  throttle(transactions: number, reply?: ThrottleReply): void;
  /** Ends the port's connections and blocks it; null opens it again, under the same number. Rejects if that is taken by then. */
  blockPort(port: PortName, fault: PortFault | null): Promise<void>;
  /** What both ports present from now on. Ends every connection, so that the next message meets it. */
  setCertificate(kind: CertificateKind): void;
  /** Whether EHLO offers STARTTLS, which something in between may strip. Ends the connections of that port. */
  offerStarttls(offered: boolean): void;
}

export function createControls(
  { authenticator, dailyLimiter, throttle }: SimulatorState,
  servers: Readonly<Record<PortName, GmailServer>>,
  certificates: Readonly<Record<CertificateKind, Certificate>>,
): Controls {
  return {
    setPassword: (password) => {
      authenticator.secret = password;
    },
    setLoginFault: (fault, times = Number.POSITIVE_INFINITY) => authenticator.fail(fault, times),
    setDailyLimit: (limit) => dailyLimiter.set(limit),
    throttle: (transactions, reply = 'try-again-later') => throttle.set(transactions, reply),
    blockPort: (port, fault) => servers[port].block(fault),
    setCertificate: (kind) => {
      for (const port of PORTS) servers[port].present(certificates[kind]);
    },
    offerStarttls: (offered) => servers.starttls.offerStarttls(offered),
  };
}
