import { type CheckResult, pass, unknown, warn } from '../../check.ts';
import type { DnsClient } from '../../net/dns-client.ts';
import type { Finding } from './finding.ts';
import { type Mechanism, parseRecord, SpfError } from './spf-record.ts';

/** Google's own record, which lists the hosts that send for Workspace. */
const GOOGLE = '_spf.google.com';
/** RFC 7208, section 4.6.4: terms that query DNS, and queries without a result. */
const MAX_LOOKUPS = 10;
const MAX_VOID_LOOKUPS = 2;
const MAX_MX = 10;

/** The result depends on something that cannot be known here. */
class UnknownError extends Error {
  override readonly name = 'UnknownError';
}

/**
 * Checks whether SPF (RFC 7208) passes for mail that Google sends: follows `include` and `redirect`
 * to `_spf.google.com` as a receiver does, within its limits.
 */
export async function checkSpf(domain: string, dns: DnsClient): Promise<Finding> {
  try {
    const walk = createWalk(dns, true);
    const result = await walk.evaluate(domain, null);
    if (!walk.foundGoogle()) {
      if (walk.hasMacros())
        return toUnknown('the record contains macros, so its result depends on the message');
      return { passes: false, result: toMissing(result) };
    }
    if (result !== 'pass') {
      const detail = `the result for mail from Google is ${result}: ${GOOGLE} is not included with "+"`;
      return { passes: false, result: warn('spf_google_missing', detail) };
    }
    return { passes: true, result: await countAll(domain, dns) };
  } catch (error) {
    if (error instanceof UnknownError) return toUnknown(error.message);
    if (error instanceof SpfError) return { passes: false, result: warn(error.id, error.message) };
    throw error;
  }
}

/** Evaluates the rest of the record, too, as some receivers do: it must need no more look-ups. */
async function countAll(domain: string, dns: DnsClient): Promise<CheckResult> {
  const walk = createWalk(dns, false);
  try {
    await walk.evaluate(domain, null);
  } catch (error) {
    if (error instanceof SpfError) return warn(error.id, `it includes ${GOOGLE}, but ${error.message}`);
    if (!(error instanceof UnknownError)) throw error;
  }
  const lookups = walk.lookups();
  return pass(
    `it includes ${GOOGLE}, and needs ${lookups} of ${MAX_LOOKUPS} DNS ${lookups === 1 ? 'look-up' : 'look-ups'}`,
  );
}

function toMissing(result: SpfResult): CheckResult {
  return warn(
    'spf_google_missing',
    `the record does not include ${GOOGLE}: the result is ${result} for hosts that it does not list`,
  );
}

function toUnknown(reason: string): Finding {
  return { passes: null, result: unknown(reason) };
}

type SpfResult = 'pass' | 'fail' | 'softfail' | 'neutral';

const QUALIFIERS: Readonly<Record<string, SpfResult>> = {
  '+': 'pass',
  '-': 'fail',
  '~': 'softfail',
  '?': 'neutral',
};

/**
 * One evaluation, for a host that only `_spf.google.com` lists.
 *
 * @param stopAtGoogle whether `_spf.google.com` matches; otherwise nothing does, and every term is
 *   counted
 */
function createWalk(dns: DnsClient, stopAtGoogle: boolean) {
  let lookups = 0;
  let voids = 0;
  let foundGoogle = false;
  let hasMacros = false;

  function countLookup(): void {
    lookups += 1;
    if (lookups > MAX_LOOKUPS)
      throw new SpfError(
        'spf_too_many_lookups',
        `the record needs more than ${MAX_LOOKUPS} DNS look-ups, so its result is an error`,
      );
  }

  function countVoid(): void {
    voids += 1;
    if (voids > MAX_VOID_LOOKUPS)
      throw new SpfError(
        'spf_too_many_lookups',
        `more than ${MAX_VOID_LOOKUPS} names in the record do not exist, so its result is an error`,
      );
  }

  async function evaluate(domain: string, includedBy: string | null): Promise<SpfResult> {
    const { mechanisms, redirect } = parseRecord(await readRecord(domain, includedBy, dns));
    for (const mechanism of mechanisms) {
      if (await matches(mechanism, domain)) return QUALIFIERS[mechanism.qualifier] ?? 'neutral';
    }
    if (redirect === null) return 'neutral';
    countLookup();
    if (isMacro(redirect)) {
      hasMacros = true;
      return 'neutral';
    }
    return isGoogle(redirect) ? evaluateGoogle(redirect, domain) : evaluate(redirect, domain);
  }

  /** Counts the look-ups of Google's own record. */
  async function evaluateGoogle(name: string, includedBy: string): Promise<SpfResult> {
    foundGoogle = true;
    if ((await dns.readTxt(name)).kind === 'missing')
      throw new UnknownError(`the DNS server does not know ${GOOGLE}: it may serve an internal view`);
    await evaluate(name, includedBy);
    return stopAtGoogle ? 'pass' : 'neutral';
  }

  async function matches({ name, target }: Mechanism, domain: string): Promise<boolean> {
    if (name === 'all') return true;
    if (name === 'ip4' || name === 'ip6') return false;
    countLookup();
    if (target !== null && isMacro(target)) {
      hasMacros = true;
      return false;
    }
    if (name === 'ptr') return false;
    const host = target ?? domain;
    if (name === 'include') {
      const result = isGoogle(host) ? evaluateGoogle(host, domain) : evaluate(host, domain);
      return (await result) === 'pass';
    }
    const found = name === 'mx' ? await dns.readMx(host) : await dns.readAddresses(host);
    if (found.kind === 'unknown') throw new UnknownError(`${found.reason} for ${host}`);
    if (found.kind === 'missing') countVoid();
    else if (name === 'mx' && found.records.length > MAX_MX)
      throw new SpfError('spf_too_many_lookups', `${host} has more than ${MAX_MX} MX records`);
    return false;
  }

  return {
    evaluate,
    lookups: () => lookups,
    foundGoogle: () => foundGoogle,
    hasMacros: () => hasMacros,
  };
}

/**
 * Reads the only SPF record of a domain.
 *
 * @param includedBy domain of the record that includes or redirects to it
 */
async function readRecord(domain: string, includedBy: string | null, dns: DnsClient): Promise<string> {
  const found = await dns.readTxt(domain);
  if (found.kind === 'unknown') throw new UnknownError(`${found.reason} for ${domain}`);
  const records = found.kind === 'found' ? found.records.filter((text) => /^v=spf1(?: |$)/i.test(text)) : [];
  const [record] = records;
  if (records.length > 1)
    throw new SpfError('spf_invalid', `${domain} has ${records.length} SPF records; only one is allowed`);
  if (record !== undefined) return record;
  const isMisspelled = found.kind === 'found' && found.records.some((text) => /^\W*v\s*=\s*spf/i.test(text));
  if (isMisspelled)
    throw new SpfError('spf_invalid', `the record of ${domain} does not begin with "v=spf1 "`);
  if (includedBy === null) throw new SpfError('spf_missing', `${domain} has no SPF record`);
  throw new SpfError('spf_invalid', `${includedBy} includes ${domain}, which has no SPF record`);
}

function isMacro(text: string): boolean {
  return text.includes('%');
}

function isGoogle(name: string): boolean {
  return name === GOOGLE;
}
