import type { AccountConfig } from '../../../config/account-config.ts';
import { toFromDomains } from '../../../config/from-domains.ts';
import { BULK_MESSAGES, BULK_WARNING } from '../../../core/gmail-volume.ts';
import type { RunningService } from '../../../core/ports/doctor-report.ts';
import { isUnavailable } from '../../../core/retry-until-available.ts';
import { type Check, pass, runCheck, skip, toCheck, unknown, warn } from '../../check.ts';
import type { DnsClient } from '../../net/dns-client.ts';
import { checkAlignment } from './alignment.ts';
import { checkDkim } from './dkim.ts';
import { checkDmarc, type DmarcFinding } from './dmarc.ts';
import type { Finding } from './finding.ts';
import { findInternalView } from './internal-view.ts';
import { checkSpf } from './spf.ts';

type Sender = Pick<AccountConfig, 'user' | 'from' | 'aliases' | 'domains'>;

/**
 * Checks SPF, DKIM, DMARC and alignment of each domain that accounts send from, except gmail.com,
 * whose records are Google's. A result that cannot be known is skipped, and never a failure.
 */
export async function checkSenderDomains(
  accounts: readonly Sender[],
  dns: DnsClient,
  service: RunningService | null = null,
): Promise<Check[]> {
  if (accounts.length === 0) return [];
  const domains = toFromDomains(accounts);
  if (domains.size === 0) {
    const subject = { id: 'domains', name: 'Domains', target: '' };
    return [toCheck(subject, skip('not needed: all mail is from gmail.com'))];
  }
  const checks = [...domains].map(async ([domain, users]) => [
    ...(await checkDomain(domain, users, dns)),
    ...(service ? [await checkGmailVolume(domain, service)] : []),
  ]);
  return (await Promise.all(checks)).flat();
}

/** Reports how near the domain is to Google's rules for bulk senders. */
function checkGmailVolume(domain: string, service: RunningService): Promise<Check> {
  return runCheck({ id: 'gmail_volume', name: 'Mail to Gmail', target: domain }, async () => {
    try {
      const sent = await service.readGmailVolume(domain);
      const detail = `${sent} messages to gmail.com in 24 hours; the rules for bulk senders begin at ${BULK_MESSAGES}`;
      return sent < BULK_WARNING ? pass(detail) : warn('gmail_bulk_near', detail);
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      return skip('not counted: the queue is unavailable');
    }
  });
}

/**
 * Checks the records of one domain.
 *
 * @param users the accounts that own an address of it
 */
async function checkDomain(domain: string, users: readonly string[], dns: DnsClient): Promise<Check[]> {
  let internalView: Promise<string | null> | undefined;
  const readInternalView = () => {
    internalView ??= findInternalView(domain, dns);
    return internalView;
  };
  /** Runs a check. What is wrong in an internal view is unknown. */
  async function run<Found extends Finding | DmarcFinding>(
    id: string,
    name: string,
    finding: Promise<Found>,
  ) {
    const check = await runCheck({ id, name, target: domain }, async () => {
      const { result } = await finding;
      const view = result.status === 'warn' ? await readInternalView() : null;
      return view === null ? result : unknown(`${view} (${result.detail})`);
    });
    return { check, known: check.status === 'skip' ? null : await finding };
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
