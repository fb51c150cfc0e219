import { type CheckResult, pass, unknown, warn } from '../../check.ts';
import type { DnsClient } from '../../net/dns-client.ts';
import { type AddressRange, isCovered, overlapping, toRange } from './address-range.ts';
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
    if (!walk.foundGoogle()) return await checkAddresses(domain, walk, result, dns);
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

/**
 * Checks a record that does not include Google's. It may list the same addresses itself, as tools
 * that flatten records do.
 *
 * @param result for hosts that the record does not list
 */
async function checkAddresses(
  domain: string,
  walk: Walk,
  result: SpfResult,
  dns: DnsClient,
): Promise<Finding> {
  const networks = walk.networks();
  const google = networks.length > 0 ? await readGoogleRanges(domain, dns) : [];
  const listed = networks.filter(({ range }) => google.some(overlapping(range)));
  const passing = listed.filter(({ passes }) => passes).map(({ range }) => range);
  if (listed.length > passing.length)
    return toUnknown(`the record lists addresses of ${GOOGLE}, some of them without "+"`);
  if (passing.length > 0 && google.every((range) => isCovered(range, passing)))
    return {
      passes: true,
      result: pass(`it lists the addresses of ${GOOGLE}, which Google can change, and does not include it`),
    };
  if (walk.hasMacros()) return toUnknown('the record contains macros, so its result depends on the message');
  const extent = passing.length > 0 ? `lists only some addresses of ${GOOGLE}` : `does not include ${GOOGLE}`;
  return {
    passes: result === 'pass',
    result: warn(
      'spf_google_missing',
      `the record ${extent}: the result is ${result} for hosts that it does not list`,
    ),
  };
}

/** @throws {UnknownError} if they cannot be read */
async function readGoogleRanges(domain: string, dns: DnsClient): Promise<readonly AddressRange[]> {
  const walk = createWalk(dns, false);
  try {
    await walk.evaluateGoogle(GOOGLE, domain);
  } catch (error) {
    throw error instanceof SpfError ? new UnknownError(`the record at ${GOOGLE} cannot be read`) : error;
  }
  return walk.networks().map(({ range }) => range);
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

/** Addresses that a record lists. */
interface ListedNetwork {
  readonly range: AddressRange;
  /** Whether its mechanism, and each "include" on the way to it, has the qualifier "+". */
  readonly passes: boolean;
}

type Walk = ReturnType<typeof createWalk>;

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
  const networks: ListedNetwork[] = [];

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

  /** @param passes whether a host that the record lists passes, too, where it is included */
  async function evaluate(domain: string, includedBy: string | null, passes = true): Promise<SpfResult> {
    const { mechanisms, redirect } = parseRecord(await readRecord(domain, includedBy, dns));
    for (const mechanism of mechanisms) {
      if (await matches(mechanism, domain, passes && mechanism.qualifier === '+'))
        return QUALIFIERS[mechanism.qualifier] ?? 'neutral';
    }
    if (redirect === null) return 'neutral';
    countLookup();
    if (isMacro(redirect)) {
      hasMacros = true;
      return 'neutral';
    }
    return isGoogle(redirect) ? evaluateGoogle(redirect, domain) : evaluate(redirect, domain, passes);
  }

  /** Counts the look-ups of Google's own record. */
  async function evaluateGoogle(name: string, includedBy: string): Promise<SpfResult> {
    foundGoogle = true;
    if ((await dns.readTxt(name)).kind === 'missing')
      throw new UnknownError(`the DNS server does not know ${GOOGLE}: it may serve an internal view`);
    await evaluate(name, includedBy);
    return stopAtGoogle ? 'pass' : 'neutral';
  }

  async function matches({ name, target }: Mechanism, domain: string, passes: boolean): Promise<boolean> {
    if (name === 'all') return true;
    if (name === 'ip4' || name === 'ip6') {
      if (target !== null) networks.push({ range: toRange(target), passes });
      return false;
    }
    countLookup();
    if (target !== null && isMacro(target)) {
      hasMacros = true;
      return false;
    }
    if (name === 'ptr') return false;
    const host = target ?? domain;
    if (name === 'include') {
      const result = isGoogle(host) ? evaluateGoogle(host, domain) : evaluate(host, domain, passes);
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
    evaluateGoogle,
    networks: (): readonly ListedNetwork[] => networks,
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
