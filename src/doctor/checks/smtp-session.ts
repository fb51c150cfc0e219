import { logsIn, type SmtpServer } from '../../config/smtp-url.ts';
import { DAY } from '../../core/time.ts';
import { type CheckResult, fail, pass, skip, warn } from '../check.ts';
import { diagnoseError, type FailedResult, NO_STARTTLS } from '../net/error-diagnosis.ts';
import { openSmtpClient, type SmtpClient } from '../net/smtp-client.ts';
import { certificateOf, type NetworkOptions, type PresentedCertificate } from '../net/sockets.ts';

/** A server, and one of its addresses that accepts connections. */
export interface ReachableServer {
  readonly server: SmtpServer;
  readonly address: string;
}

export interface SessionRequirements {
  readonly ehloName: string;
  /** The authentication mechanisms that the accounts need: `PLAIN`, `XOAUTH2`. */
  readonly mechanisms: readonly string[];
  readonly maxMessageBytes: number;
}

export interface SessionResult {
  readonly tls: CheckResult & { readonly durationMs: number };
  readonly ehlo: CheckResult & { readonly durationMs: number };
  /** Null if the session works. */
  readonly failure: FailedResult | null;
}

const EXPIRES_SOON_DAYS = 14;

/** Checks TLS, EHLO and the offered extensions. Does not log in. */
export async function checkSession(
  reachable: ReachableServer,
  requirements: SessionRequirements,
  network: NetworkOptions,
): Promise<SessionResult> {
  const { server, address } = reachable;
  const results = { tls: skip('not tried'), ehlo: skip('not tried') };
  if (server.tls === 'never')
    results.tls = skip('tls=never: the connection is not encrypted, and there is no login');
  const durations = { tls: 0, ehlo: 0 };
  let step: keyof typeof results = server.tls === 'implicit' ? 'tls' : 'ehlo';
  let stepStartedAt = performance.now();
  const startStep = (next: typeof step) => {
    durations[step] += performance.now() - stepStartedAt;
    stepStartedAt = performance.now();
    step = next;
  };
  let failure: FailedResult | null = null;
  try {
    using client = await openSmtpClient(server, address, network);
    const extensions = await startSession(client, server, requirements.ehloName, (next, certificate) => {
      startStep(next);
      if (certificate) results.tls = toTlsResult(certificate);
    });
    results.ehlo = toEhloResult(extensions, server, requirements);
    if (results.ehlo.status === 'fail')
      failure = { ...results.ehlo, status: 'fail', error: 'bad_credentials' };
  } catch (error) {
    failure = diagnoseError(error);
    if (step === 'tls' && failure.error === 'tls_failed')
      failure = await addIssuer(failure, reachable, requirements, network);
    results[step] = failure;
  }
  startStep(step);
  return {
    tls: { ...results.tls, durationMs: durations.tls },
    ehlo: { ...results.ehlo, durationMs: durations.ehlo },
    failure,
  };
}

/**
 * Runs greeting, TLS and EHLO, in the order that the server needs. The session is then ready for a
 * login.
 *
 * @param onStep called with the next step, and with the certificate once it is verified
 * @returns the extensions that the last EHLO offers
 */
export async function startSession(
  client: SmtpClient,
  { tls }: SmtpServer,
  ehloName: string,
  onStep: (step: 'tls' | 'ehlo', certificate: PresentedCertificate | null) => void = () => {},
): Promise<string[]> {
  if (tls === 'implicit') onStep('ehlo', certificateOf(await client.startTls()));
  await client.readGreeting();
  const extensions = await client.sendEhlo(ehloName);
  if (tls !== 'starttls') return extensions;
  onStep('tls', null);
  if (!extensions.includes('STARTTLS')) {
    throw Object.assign(new Error('EHLO does not offer STARTTLS'), {
      code: 'ETLS',
      originalCode: NO_STARTTLS,
    });
  }
  onStep('ehlo', certificateOf(await client.startTls()));
  return client.sendEhlo(ehloName);
}

function toTlsResult({ issuer, validTo }: PresentedCertificate): CheckResult {
  const days = Math.floor((validTo.getTime() - Date.now()) / DAY);
  const detail = `the certificate is trusted, was issued by ${issuer}, and expires in ${days === 1 ? 'one day' : `${days} days`}`;
  return days < EXPIRES_SOON_DAYS ? warn('certificate_ends_soon', detail) : pass(detail);
}

function toEhloResult(
  extensions: readonly string[],
  server: SmtpServer,
  { mechanisms, maxMessageBytes }: SessionRequirements,
): CheckResult {
  const offered = extensions.find((line) => /^AUTH[ =]/.test(line))?.split(/[ =]+/) ?? [];
  const missing = !logsIn(server) ? [] : mechanisms.filter((mechanism) => !offered.includes(mechanism));
  if (missing.length > 0) return fail('auth_missing', `EHLO does not offer AUTH ${missing.join(' or ')}`);
  const size = Number(extensions.find((line) => /^SIZE \d+$/.test(line))?.slice(5) ?? 0);
  if (size > 0 && size < maxMessageBytes) {
    return warn(
      'size_smaller',
      `the server accepts ${size} bytes, MAX_MESSAGE_BYTES allows ${maxMessageBytes}`,
    );
  }
  const offers = [
    server.tls === 'starttls' && 'STARTTLS',
    offered.length > 0 && offered.join(' '),
    size > 0 && `SIZE ${size}`,
  ];
  return pass(`it offers ${offers.filter(Boolean).join(', ') || 'no extension that Outtray uses'}`);
}

const WITHOUT_CERTIFICATE = ['tls_on_starttls_port', 'starttls_missing'];

/** Adds the issuer of the untrusted certificate to the detail: it shows what intercepts TLS. */
async function addIssuer(
  failure: FailedResult,
  { server, address }: ReachableServer,
  { ehloName }: SessionRequirements,
  network: NetworkOptions,
): Promise<FailedResult> {
  if (WITHOUT_CERTIFICATE.includes(failure.code ?? '')) return failure;
  try {
    using client = await openSmtpClient(server, address, network);
    if (server.tls === 'starttls') {
      await client.readGreeting();
      await client.sendEhlo(ehloName);
    }
    const { issuer, validTo } = await client.readCertificate();
    const validity = Number.isNaN(validTo.getTime())
      ? ''
      : `, valid until ${validTo.toISOString().slice(0, 10)}`;
    return { ...failure, detail: `${failure.detail} It was issued by ${issuer}${validity}.` };
  } catch {
    return failure;
  }
}
