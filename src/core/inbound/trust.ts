import { domainOf } from '../message/address.ts';
import type { AuthenticationResults } from './authentication-results.ts';
import type { InboundMail } from './inbound-mail.ts';

/** The server that receives mail for Gmail. Only its checks count. */
const GMAIL_RECEIVER = 'mx.google.com';
/** Gmail's own reports come from here. Users can have an address at the same domain. */
const GMAIL_REPORTER = 'mailer-daemon@googlemail.com';

/**
 * Role addresses that send reports. Users of a mail provider cannot register them, so a user
 * cannot report about another user.
 */
const REPORTER = /^(?:mailer-daemon|postmaster|microsoftexchange[0-9a-f]{32})$/i;

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
 * below it, and no check of Gmail failed. A server without DMARC and SPF is believed.
 */
export function isFromServerOf(recipient: string, mail: InboundMail): boolean {
  if (mail.from === null || !REPORTER.test(mail.from.slice(0, mail.from.lastIndexOf('@')))) return false;
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
