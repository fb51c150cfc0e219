import { domainOf, isPersonalGmail } from '../core/message/address.ts';
import type { AccountConfig } from './account-config.ts';

/**
 * Returns the domains that accounts send from, except gmail.com and googlemail.com, each with the
 * accounts that own an address of it.
 */
export function toFromDomains(
  accounts: readonly Pick<AccountConfig, 'user' | 'from' | 'aliases' | 'domains'>[],
): ReadonlyMap<string, readonly string[]> {
  const domains = new Map<string, string[]>();
  for (const { user, from, aliases, domains: own } of accounts) {
    const addresses = [user, from.email, ...aliases].filter((email) => !isPersonalGmail(email));
    for (const domain of new Set([...addresses.map(domainOf), ...own]))
      domains.set(domain, [...(domains.get(domain) ?? []), user]);
  }
  return domains;
}
