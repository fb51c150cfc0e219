import type { SmtpServer } from '../../config/smtp-url.ts';
import { type Finding, fail, pass, skip, warn } from '../report.ts';
import { explain, NO_STARTTLS, type Trouble } from '../wire/connection-errors.ts';
import { type Dialogue, openDialogue } from '../wire/smtp-dialogue.ts';
import { certificateOf, type PresentedCertificate, type Wire } from '../wire/sockets.ts';

/** A server and the address that takes its connections. */
export interface Host {
  readonly server: SmtpServer;
  readonly address: string;
}

export interface SessionNeeds {
  readonly ehloName: string;
  /** How the accounts log in: `PLAIN`, `XOAUTH2`. */
  readonly mechanisms: readonly string[];
  readonly maxMessageBytes: number;
}

export interface SessionFindings {
  readonly tls: Finding & { readonly durationMs: number };
  readonly ehlo: Finding & { readonly durationMs: number };
  /** Why there is no session; null if there is one. */
  readonly trouble: Trouble | null;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const ENDS_SOON_DAYS = 14;

/** TLS, EHLO and what the server offers. Does not log in. */
export async function checkSession(host: Host, needs: SessionNeeds, wire: Wire): Promise<SessionFindings> {
  const { server, address } = host;
  const findings = { tls: skip('not tried'), ehlo: skip('not tried') };
  if (server.tls === 'never') findings.tls = skip('tls=never: mail goes in the clear, and nobody logs in');
  const spent = { tls: 0, ehlo: 0 };
  let at: keyof typeof findings = server.tls === 'implicit' ? 'tls' : 'ehlo';
  let since = performance.now();
  const goOnTo = (step: typeof at) => {
    spent[at] += performance.now() - since;
    since = performance.now();
    at = step;
  };
  let trouble: Trouble | null = null;
  try {
    using dialogue = await openDialogue(server, address, wire);
    const capabilities = await begin(dialogue, server, needs.ehloName, (step, certificate) => {
      goOnTo(step);
      if (certificate) findings.tls = toTlsFinding(certificate);
    });
    findings.ehlo = toEhloFinding(capabilities, server, needs);
    if (findings.ehlo.status === 'fail')
      trouble = { ...findings.ehlo, status: 'fail', error: 'bad_credentials' };
  } catch (error) {
    trouble = explain(error);
    if (at === 'tls' && trouble.error === 'tls_failed')
      trouble = await nameIssuer(trouble, host, needs, wire);
    findings[at] = trouble;
  }
  goOnTo(at);
  return {
    tls: { ...findings.tls, durationMs: spent.tls },
    ehlo: { ...findings.ehlo, durationMs: spent.ehlo },
    trouble,
  };
}

/**
 * Greeting, TLS and EHLO, in the order of the server: from there on it would take a login. Resolves to what the last EHLO offers.
 *
 * @param onStep told what is tried next, and the certificate once it is verified
 */
export async function begin(
  dialogue: Dialogue,
  { tls }: SmtpServer,
  name: string,
  onStep: (step: 'tls' | 'ehlo', certificate: PresentedCertificate | null) => void = () => {},
): Promise<string[]> {
  if (tls === 'implicit') onStep('ehlo', certificateOf(await dialogue.encrypt()));
  await dialogue.greeting();
  const capabilities = await dialogue.ehlo(name);
  if (tls !== 'starttls') return capabilities;
  onStep('tls', null);
  if (!capabilities.includes('STARTTLS')) {
    throw Object.assign(new Error('EHLO does not offer STARTTLS'), {
      code: 'ETLS',
      originalCode: NO_STARTTLS,
    });
  }
  onStep('ehlo', certificateOf(await dialogue.encrypt()));
  return dialogue.ehlo(name);
}

function toTlsFinding({ issuer, validTo }: PresentedCertificate): Finding {
  const days = Math.floor((validTo.getTime() - Date.now()) / DAY_MS);
  const detail = `the certificate is trusted, made by ${issuer}, and has ${days === 1 ? 'one day' : `${days} days`} left`;
  return days < ENDS_SOON_DAYS ? warn('certificate_ends_soon', detail) : pass(detail);
}

function toEhloFinding(
  capabilities: readonly string[],
  { tls }: SmtpServer,
  { mechanisms, maxMessageBytes }: SessionNeeds,
): Finding {
  const offered = capabilities.find((line) => /^AUTH[ =]/.test(line))?.split(/[ =]+/) ?? [];
  const missing = tls === 'never' ? [] : mechanisms.filter((mechanism) => !offered.includes(mechanism));
  if (missing.length > 0) return fail('auth_missing', `EHLO does not offer AUTH ${missing.join(' or ')}`);
  const size = Number(capabilities.find((line) => /^SIZE \d+$/.test(line))?.slice(5) ?? 0);
  if (size > 0 && size < maxMessageBytes) {
    return warn(
      'size_smaller',
      `the server takes ${size} bytes, MAX_MESSAGE_BYTES allows ${maxMessageBytes}`,
    );
  }
  const offers = [
    tls === 'starttls' && 'STARTTLS',
    offered.length > 0 && offered.join(' '),
    size > 0 && `SIZE ${size}`,
  ];
  return pass(`it offers ${offers.filter(Boolean).join(', ') || 'nothing that Outtray uses'}`);
}

const NO_CERTIFICATE = ['tls_on_starttls_port', 'starttls_missing'];

/** Who made the certificate that is not trusted: the first thing one wants to know of an interception. */
async function nameIssuer(
  trouble: Trouble,
  { server, address }: Host,
  { ehloName }: SessionNeeds,
  wire: Wire,
): Promise<Trouble> {
  if (NO_CERTIFICATE.includes(trouble.code ?? '')) return trouble;
  try {
    using dialogue = await openDialogue(server, address, wire);
    if (server.tls === 'starttls') {
      await dialogue.greeting();
      await dialogue.ehlo(ehloName);
    }
    const { issuer, validTo } = await dialogue.look();
    const until = Number.isNaN(validTo.getTime())
      ? ''
      : `, valid until ${validTo.toISOString().slice(0, 10)}`;
    return { ...trouble, detail: `${trouble.detail} It was made by ${issuer}${until}.` };
  } catch {
    return trouble;
  }
}
