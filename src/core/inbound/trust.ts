import { domainOf } from '../message/address.ts';
import type { AuthenticationResult } from './authentication-results.ts';
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
 * below it, and no check of Gmail speaks against it. A server without DMARC and SPF is believed.
 * Users of a mail provider cannot report about each other: they cannot register the addresses of
 * servers.
 */
export function isFromServerOf(recipient: string, mail: InboundMail): boolean {
  if (mail.from === null || !(isDaemon(mail.from) || isPostmaster(mail.from))) return false;
  return isWithin(domainOf(mail.from), domainOf(recipient)) && !isForged(mail, domainOf(recipient));
}

/** @param domain Of the recipient */
function isForged({ from, authentication }: InboundMail, domain: string): boolean {
  // A sender can choose an envelope address that breaks the syntax.
  if (authentication?.authservId === GMAIL_RECEIVER && authentication.results === null) return true;
  const dmarc = resultsOf(authentication, 'dmarc').filter(({ result }) => result !== 'none');
  if (dmarc.length > 0)
    return !dmarc.every(
      ({ result, properties }) =>
        result === 'pass' && properties.get('header.from')?.toLowerCase() === domainOf(from ?? ''),
    );
  const isSigned = resultsOf(authentication, 'dkim').some(
    ({ result, properties }) => result === 'pass' && isWithin(signerOf(properties), domain),
  );
  return !isSigned && resultsOf(authentication, 'spf').some((result) => isFromElsewhere(result, domain));
}

/**
 * Whether the check of the envelope sender speaks against a domain. A report has no envelope sender
 * (RFC 3464, section 2), or at least none of another domain. Without one, SPF checks the postmaster
 * of the host (RFC 7208, section 2.4).
 */
function isFromElsewhere({ result, properties }: AuthenticationResult, domain: string): boolean {
  if (result === 'fail' || result === 'softfail') return true;
  const sender = properties.get('smtp.mailfrom') ?? '';
  return sender !== '' && !isPostmaster(sender) && !isWithin(domainOf(sender).toLowerCase(), domain);
}

function signerOf(properties: ReadonlyMap<string, string>): string {
  return domainOf(properties.get('header.d') ?? properties.get('header.i') ?? '').toLowerCase();
}

function resultsOf(authentication: InboundMail['authentication'], method: string): AuthenticationResult[] {
  if (authentication?.authservId !== GMAIL_RECEIVER) return [];
  return authentication.results?.filter((result) => result.method === method) ?? [];
}

/** Whether a domain is the other one or one below it. */
function isWithin(domain: string, other: string): boolean {
  return domain === other || domain.endsWith(`.${other}`);
}
