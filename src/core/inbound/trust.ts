import { domainOf } from '../message/address.ts';
import type { AuthenticationResults } from './authentication-results.ts';
import type { InboundMail } from './inbound-mail.ts';

/** The server that receives mail for Gmail. Only its checks count. */
const GMAIL_RECEIVER = 'mx.google.com';
/** Gmail's own reports come from here. Users can have an address at the same domain. */
const GMAIL_REPORTER = 'mailer-daemon@googlemail.com';

const DAEMON = /^(?:mailer-daemon|microsoftexchange[0-9a-f]{32})(?:@|$)/i;
const POSTMASTER = /^postmaster(?:@|$)/i;

/** Whether only a mail server writes from an address, which may lack its domain. */
export function isDaemon(address: string): boolean {
  return DAEMON.test(address);
}

/** Whether a mail server writes from an address, or the person who operates it. */
export function isPostmaster(address: string): boolean {
  return POSTMASTER.test(address);
}

/** Whether Gmail itself wrote the mail, which its DMARC check proves. */
export function isFromGmail(mail: InboundMail): boolean {
  if (mail.from?.toLowerCase() !== GMAIL_REPORTER) return false;
  const [dmarc, ...others] = resultsOf(mail.authentication, 'dmarc');
  return (
    others.length === 0 &&
    dmarc?.result === 'pass' &&
    dmarc.properties.get('header.from')?.toLowerCase() === domainOf(GMAIL_REPORTER)
  );
}

/**
 * Whether a server may report about a recipient: it writes from the domain of the recipient, or one
 * below it, and no check of Gmail failed. A server without DMARC and SPF is believed. Users of a
 * mail provider cannot report about each other: they cannot register the addresses of servers.
 */
export function isFromServerOf(recipient: string, mail: InboundMail): boolean {
  if (mail.from === null || !(isDaemon(mail.from) || isPostmaster(mail.from))) return false;
  const domain = domainOf(mail.from);
  return isWithin(domain, domainOf(recipient)) && !isForged(domain, mail.authentication);
}

function isForged(domain: string, authentication: AuthenticationResults | null): boolean {
  const dmarc = resultsOf(authentication, 'dmarc');
  if (dmarc.length > 0)
    return !dmarc.every(
      ({ result, properties }) =>
        result === 'pass' && properties.get('header.from')?.toLowerCase() === domain,
    );
  const isSigned = resultsOf(authentication, 'dkim').some(
    ({ result, properties }) => result === 'pass' && isWithin(signerOf(properties), domain),
  );
  const spf = resultsOf(authentication, 'spf');
  return !isSigned && spf.some(({ result }) => result === 'fail' || result === 'softfail');
}

function signerOf(properties: ReadonlyMap<string, string>): string {
  return domainOf(properties.get('header.d') ?? properties.get('header.i') ?? '').toLowerCase();
}

function resultsOf(authentication: AuthenticationResults | null, method: string) {
  if (authentication?.authservId !== GMAIL_RECEIVER) return [];
  return authentication.results.filter((result) => result.method === method);
}

/** Whether a domain is the other one or one below it. */
function isWithin(domain: string, other: string): boolean {
  return domain === other || domain.endsWith(`.${other}`);
}
