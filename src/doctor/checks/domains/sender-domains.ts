import type { AccountConfig } from '../../../config/account-config.ts';
import { domainOf, isPersonalGmail } from '../../../core/message/address.ts';
import { type Check, runCheck, skip, toCheck, unknown } from '../../check.ts';
import type { DnsClient } from '../../net/dns-client.ts';
import { checkAlignment } from './alignment.ts';
import { checkDkim } from './dkim.ts';
import { checkDmarc, type DmarcFinding } from './dmarc.ts';
import type { Finding } from './finding.ts';
import { findInternalView } from './internal-view.ts';
import { checkSpf } from './spf.ts';

type Sender = Pick<AccountConfig, 'user' | 'from' | 'aliases'>;

/**
 * Checks SPF, DKIM, DMARC and alignment of each domain that accounts send from, except gmail.com,
 * whose records are Google's. What cannot be known is `unknown`, never a failure.
 */
export async function checkSenderDomains(accounts: readonly Sender[], dns: DnsClient): Promise<Check[]> {
  if (accounts.length === 0) return [];
  const domains = toDomains(accounts);
  if (domains.size === 0) {
    const subject = { id: 'domains', name: 'Domains', target: '' };
    return [toCheck(subject, skip('not needed: all mail is from gmail.com'))];
  }
  return (await Promise.all([...domains].map(([domain, users]) => checkDomain(domain, users, dns)))).flat();
}

/** Returns the From domains, each with the accounts that own an address of it. */
function toDomains(accounts: readonly Sender[]): Map<string, string[]> {
  const domains = new Map<string, string[]>();
  for (const { user, from, aliases } of accounts) {
    const addresses = [user, from.email, ...aliases].filter((email) => !isPersonalGmail(email));
    for (const domain of new Set(addresses.map(domainOf)))
      domains.set(domain, [...(domains.get(domain) ?? []), user]);
  }
  return domains;
}

async function checkDomain(domain: string, users: readonly string[], dns: DnsClient): Promise<Check[]> {
  const internalView = findInternalView(domain, dns);
  /** Runs a check. What is wrong in an internal view is unknown. */
  async function run<Found extends Finding | DmarcFinding>(
    id: string,
    name: string,
    finding: Promise<Found>,
  ) {
    const check = await runCheck({ id, name, target: domain }, async () => {
      const { result } = await finding;
      const view = result.status === 'warn' ? await internalView : null;
      return view === null ? result : unknown(`${view}. It has this result: ${result.detail}`);
    });
    return { check, known: check.status === 'unknown' ? null : await finding };
  }
  const [spf, dkim, dmarc] = await Promise.all([
    run('spf', 'SPF', checkSpf(domain, dns)),
    run('dkim', 'DKIM', checkDkim(domain, dns)),
    run('dmarc', 'DMARC', checkDmarc(domain, dns)),
  ]);
  const authentication = {
    spf: spf.known?.passes ?? null,
    dkim: dkim.known?.passes ?? null,
    policy: dmarc.known?.policy ?? null,
  };
  const alignment = await runCheck({ id: 'alignment', name: 'Alignment', target: domain }, () =>
    checkAlignment(domain, users, authentication, dns),
  );
  return [spf.check, dkim.check, dmarc.check, alignment];
}
