import { type CheckResult, pass, unknown, warn } from '../../check.ts';
import type { DnsClient, DnsResult } from '../../net/dns-client.ts';
import { parseTags } from './tags.ts';

/** RFC 9989, section 4.10: the walk makes at most eight queries. */
const MAX_QUERIES = 8;
const POLICIES = ['none', 'quarantine', 'reject'];

/** A record that is meant for DMARC, and one that receivers accept as such. */
const MEANT = /^\W*v\s*=\s*DMARC/i;
const VALID = /^v\s*=\s*DMARC1\s*(?:;|$)/;

type Tags = ReadonlyMap<string, string>;

export interface DmarcFinding {
  readonly result: CheckResult;
  /** Null: unknown. */
  readonly policy: DmarcPolicy | null;
}

export interface DmarcPolicy {
  /** What receivers do with mail that fails; null if they find no usable record. */
  readonly action: string | null;
  /** Whether only the same domain aligns, by mechanism. */
  readonly isStrict: { readonly dkim: boolean; readonly spf: boolean };
}

/** Reads the DMARC policy (RFC 9989) that applies to a From domain. */
export async function checkDmarc(domain: string, dns: DnsClient): Promise<DmarcFinding> {
  const [own, ...parents] = await walkTree(domain, dns);
  if (!own) throw new Error('a domain has at least one label');
  if (own.found.kind === 'unknown') return toUnknown(`${own.found.reason} for _dmarc.${domain}`);
  if (own.tags) return describePolicy(domain, own.tags, ['p']);
  if (own.records.length > 0) {
    const detail =
      own.records.length > 1
        ? `there are ${own.records.length} DMARC records at _dmarc.${domain}; receivers ignore them all`
        : `the record at _dmarc.${domain} is not a list of tags that begins with "v=DMARC1;"`;
    return { result: warn('dmarc_invalid', detail), policy: toPolicy(null, null) };
  }
  const unread = parents.find(isUnread);
  if (unread?.found.kind === 'unknown') return toUnknown(`${unread.found.reason} for _dmarc.${unread.name}`);
  const organizational = organizationalOf([own, ...parents]);
  const inherited =
    parents.find(({ name, tags }) => tags && name === organizational) ?? parents.find(isPublicSuffix);
  if (inherited?.tags) return describePolicy(inherited.name, inherited.tags, ['sp', 'p']);
  const result = warn(
    'dmarc_missing',
    `there is no DMARC record at _dmarc.${domain}, nor at a parent domain`,
  );
  return { result, policy: toPolicy(null, null) };
}

/**
 * Returns the organizational domain (RFC 9989, section 4.10.2): domains with the same one align,
 * unless the policy is strict. Returns null if a record could not be read.
 */
export async function readOrganizationalDomain(domain: string, dns: DnsClient): Promise<string | null> {
  const levels = await walkTree(domain, dns);
  return levels.some(isUnread) ? null : organizationalOf(levels);
}

interface Level {
  readonly name: string;
  readonly found: DnsResult<string>;
  /** DMARC records among those found, also if they are misspelled. */
  readonly records: readonly string[];
  /** The tags of the only record. Null if receivers ignore it. */
  readonly tags: Tags | null;
}

/** Few top-level domains have a policy, and some DNS servers refuse to look for one. */
function isUnread({ name, found }: Level): boolean {
  return found.kind === 'unknown' && name.includes('.');
}

/** Reads the DMARC records of a domain and its parents, from the longest name to the shortest. */
function walkTree(domain: string, dns: DnsClient): Promise<Level[]> {
  const labels = domain.split('.');
  const names = labels.map((_, at) => labels.slice(at).join('.'));
  const walked = names.length <= MAX_QUERIES ? names : [domain, ...names.slice(1 - MAX_QUERIES)];
  return Promise.all(
    walked.map(async (name) => {
      const found = await dns.readTxt(`_dmarc.${name}`);
      const records = found.kind === 'found' ? found.records.filter((text) => MEANT.test(text)) : [];
      const [record = ''] = records;
      const tags = records.length === 1 && VALID.test(record) ? parseTags(record) : null;
      return { name, found, records, tags };
    }),
  );
}

function organizationalOf(levels: readonly Level[]): string {
  let shortest = levels[0]?.name ?? '';
  for (const [at, { name, tags }] of levels.entries()) {
    if (!tags) continue;
    if (tags.get('psd') === 'n') return name;
    // The domain below a public suffix.
    if (at > 0 && tags.get('psd') === 'y') return levels[at - 1]?.name ?? name;
    shortest = name;
  }
  return shortest;
}

function isPublicSuffix({ tags }: Level): boolean {
  return tags?.get('psd') === 'y';
}

/** @param policyTags names of the tags to take the policy from, in this order */
function describePolicy(name: string, tags: Tags, policyTags: readonly string[]): DmarcFinding {
  const tag = policyTags.find((each) => tags.has(each)) ?? 'p';
  const action = tags.get(tag)?.toLowerCase() ?? null;
  const policy = toPolicy(action, tags);
  if (action === null || !POLICIES.includes(action)) {
    const detail = `the record at _dmarc.${name} has ${action === null ? 'no policy (p=)' : `an invalid policy (${tag})`}`;
    return { result: warn('dmarc_invalid', detail), policy };
  }
  const note = action === 'none' ? ': failures are reported, and mail is delivered' : '';
  return { result: pass(`${tag}=${action} at _dmarc.${name}${note}`), policy };
}

function toPolicy(action: string | null, tags: Tags | null): DmarcPolicy {
  return { action, isStrict: { dkim: tags?.get('adkim') === 's', spf: tags?.get('aspf') === 's' } };
}

function toUnknown(reason: string): DmarcFinding {
  return { result: unknown(reason), policy: null };
}
