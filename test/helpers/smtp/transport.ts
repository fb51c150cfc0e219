import { openTransport } from '../../../src/adapters/smtp/transport.ts';
import type { Credentials } from '../../../src/core/accounts/credentials.ts';
import type { Fault, Outcome } from '../../../src/core/delivery/outcome.ts';
import type { Simulator } from '../../../src/simulator/simulator.ts';
import { aJob } from '../delivery.ts';

export interface TransportUnderTest extends AsyncDisposable {
  /** Makes one attempt with a new message. */
  send(): Promise<Outcome>;
  verify(): Promise<Fault | null>;
  replaceCredentials(credentials: () => Credentials): boolean;
}

export interface TransportSetup {
  readonly credentials: (() => Credentials) | null;
  readonly user?: string;
  /** Replaces the simulator's two ports. */
  readonly servers?: Parameters<typeof openTransport>[0]['servers'];
}

/** Opens a transport to a simulator or another server, as the service does for each account. */
export function openTransportTo(
  simulator: Pick<Simulator, 'starttlsPort' | 'tlsPort' | 'ca' | 'user'>,
  setup: TransportSetup,
): TransportUnderTest {
  const transport = openTransport({
    servers: setup.servers ?? [
      { host: 'localhost', port: simulator.starttlsPort, tls: 'starttls' },
      { host: 'localhost', port: simulator.tlsPort, tls: 'implicit' },
    ],
    user: setup.user ?? simulator.user,
    credentials: setup.credentials,
    ehloName: 'client.test',
    ca: simulator.ca,
    // bodyMs is also nodemailer's idle timeout: longer than a test, so that nodemailer closes no
    // connection.
    deadlines: {
      dnsMs: 2000,
      connectMs: 3000,
      greetingMs: 1000,
      tokenMs: 2000,
      setupMs: 4000,
      bodyMs: 60_000,
    },
  });
  return {
    send: () => transport.send(aJob()),
    verify: () => transport.verify(),
    replaceCredentials: transport.replaceCredentials,
    [Symbol.asyncDispose]: () => transport.close(),
  };
}

/** Credentials that the simulator accepts. */
export function refreshTokenOf({ oauth }: Simulator): Extract<Credentials, { kind: 'refresh_token' }> {
  const { clientId, clientSecret, refreshToken, tokenUrl } = oauth;
  return { kind: 'refresh_token', clientId, clientSecret, refreshToken, tokenUrl };
}

export function serviceAccountOf({ oauth }: Simulator): Extract<Credentials, { kind: 'service_account' }> {
  const { client_email, private_key, token_uri } = JSON.parse(oauth.serviceAccount);
  return { kind: 'service_account', clientEmail: client_email, privateKey: private_key, tokenUrl: token_uri };
}
