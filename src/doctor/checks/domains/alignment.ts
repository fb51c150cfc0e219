import { domainOf, isPersonalGmail } from '../../../core/message/address.ts';
import { type CheckResult, pass, unknown, warn } from '../../check.ts';
import type { DnsClient } from '../../net/dns-client.ts';
import { type DmarcPolicy, readOrganizationalDomain } from './dmarc.ts';

/** What is known about the records of a From domain. Null: unknown. */
export interface Authentication {
  /** Whether it passes for mail that Google sends. */
  readonly spf: boolean | null;
  readonly dkim: boolean | null;
  readonly policy: DmarcPolicy | null;
}

/**
 * Checks whether mail of an account can pass DMARC with a From of this domain: SPF or DKIM must pass
 * for a domain that aligns with it (RFC 9989, section 4.4).
 *
 * Gmail signs for the From domain once Workspace has a key for it, otherwise for gappssmtp.com, and
 * always for gmail.com if the account is personal. The return path is the account's address.
 *
 * @param users the accounts that own an address of the domain
 */
export async function checkAlignment(
  domain: string,
  users: readonly string[],
  authentication: Authentication,
  dns: DnsClient,
): Promise<CheckResult> {
  const results = await Promise.all(
    users.map(async (user) => ({ user, aligned: await findAligned(domain, user, authentication, dns) })),
  );
  const failing = results.find(({ aligned }) => aligned === 'none');
  if (failing) return toFailure(domain, failing.user, authentication);
  if (results.some(({ aligned }) => aligned === 'unknown')) {
    return unknown('whether SPF or DKIM aligns depends on a record that could not be read');
  }
  const bySpfOnly = results.some(({ aligned }) => aligned === 'spf');
  return pass(
    bySpfOnly
      ? 'by SPF only: it fails for mail that is forwarded'
      : 'by DKIM, which also survives forwarding',
  );
}

type Aligned = 'dkim' | 'spf' | 'none' | 'unknown';

async function findAligned(
  domain: string,
  user: string,
  { spf, dkim, policy }: Authentication,
  dns: DnsClient,
): Promise<Aligned> {
  if (isPersonalGmail(user)) return 'none';
  if (dkim === true) return 'dkim';
  const spfAligns = spf === false ? false : await alignsWith(domain, domainOf(user), policy, dns);
  if (spfAligns && spf) return 'spf';
  return dkim === null || spfAligns !== false ? 'unknown' : 'none';
}

/** Returns null if it depends on a record that could not be read. */
async function alignsWith(
  domain: string,
  returnPath: string,
  policy: DmarcPolicy | null,
  dns: DnsClient,
): Promise<boolean | null> {
  if (domain === returnPath) return true;
  if (policy === null) return null;
  if (policy.isStrict.spf) return false;
  const [own, other] = await Promise.all(
    [domain, returnPath].map((name) => readOrganizationalDomain(name, dns)),
  );
  return own === null || other === null ? null : own === other;
}

function toFailure(domain: string, user: string, { policy }: Authentication): CheckResult {
  const consequence =
    policy?.action === 'quarantine' || policy?.action === 'reject'
      ? `receivers ${policy.action} it (p=${policy.action})`
      : 'DMARC fails';
  if (isPersonalGmail(user)) {
    const detail = `${user} is a personal account: Gmail signs its mail for gmail.com, not for ${domain}, so ${consequence}`;
    return warn('alias_unaligned', detail);
  }
  return warn(
    'dmarc_unaligned',
    `neither SPF nor DKIM passes for ${domain} with mail of ${user}, so ${consequence}`,
  );
}
