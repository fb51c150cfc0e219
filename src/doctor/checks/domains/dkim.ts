import { createPublicKey, type KeyObject } from 'node:crypto';
import { type CheckResult, pass, unknown, warn } from '../../check.ts';
import type { DnsClient } from '../../net/dns-client.ts';
import type { Finding } from './finding.ts';
import { parseTags } from './tags.ts';

/** The selector that Workspace proposes. */
const SELECTOR = 'google._domainkey';
/** RFC 8301, section 3.2: receivers must not accept a shorter key. */
const MIN_RSA_BITS = 1024;

/** Checks whether the domain publishes a DKIM key (RFC 6376) at Workspace's selector. */
export async function checkDkim(domain: string, dns: DnsClient): Promise<Finding> {
  const name = `${SELECTOR}.${domain}`;
  const [found, alias] = await Promise.all([dns.readTxt(name), dns.readCname(name)]);
  if (found.kind === 'unknown') return toFinding(unknown(`${found.reason} for ${name}`));
  // A wildcard TXT record responds for this name, too.
  const records = found.kind === 'found' ? found.records.filter((text) => /(?:^|;)\s*p\s*=/.test(text)) : [];
  const result = checkRecords(name, records);
  if (result.status === 'pass' || alias.kind !== 'found') return toFinding(result);
  return toFinding(unknown(`${name} is an alias (CNAME) of ${alias.records.join(', ')}: ${result.detail}`));
}

function toFinding(result: CheckResult): Finding {
  return { result, passes: result.status === 'skip' ? null : result.status === 'pass' };
}

function checkRecords(name: string, records: readonly string[]): CheckResult {
  const [record] = records;
  if (record === undefined) return warn('dkim_missing', `there is no DKIM key at ${name}`);
  if (records.length > 1)
    return warn('dkim_invalid', `there are ${records.length} records at ${name}; only one is allowed`);
  const tags = parseTags(record);
  const problem = tags === null ? 'it is not a list of tags' : findTagProblem(tags);
  if (tags === null || problem !== null)
    return warn('dkim_invalid', `the record at ${name} is not valid: ${problem}`);
  if (tags.get('p') === '') return warn('dkim_revoked', `the key at ${name} is revoked (p= is empty)`);
  return checkKey(name, tags);
}

/** RFC 6376, section 3.6.1. */
function findTagProblem(tags: ReadonlyMap<string, string>): string | null {
  const accepts = (tag: string, ...values: string[]) =>
    (tags.get(tag) ?? '*').split(':').some((value) => value.trim() === '*' || values.includes(value.trim()));
  const [first] = tags.keys();
  if (tags.has('v') && (first !== 'v' || tags.get('v') !== 'DKIM1')) return 'it must start with v=DKIM1';
  if (!accepts('k', 'rsa', 'ed25519')) return `its key type is ${tags.get('k')}`;
  if (!accepts('h', 'sha256')) return 'it does not allow SHA-256';
  if (!accepts('s', 'email')) return 'it is not for email';
  return null;
}

function checkKey(name: string, tags: ReadonlyMap<string, string>): CheckResult {
  const key = readKey(tags.get('k') ?? 'rsa', (tags.get('p') ?? '').replaceAll(/\s/g, ''));
  if (key === null) return warn('dkim_invalid', `the key at ${name} cannot be read: it may be cut off`);
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits === undefined) return pass(`an Ed25519 key at ${name}`);
  if (bits < MIN_RSA_BITS) return warn('dkim_invalid', `the key at ${name} has only ${bits} bits`);
  const testing = tags.get('t')?.split(':').includes('y') === true ? ', in test mode (t=y)' : '';
  return pass(`an RSA key of ${bits} bits at ${name}${testing}`);
}

/** Returns null if the text is not a public key of this type. */
function readKey(type: string, base64: string): KeyObject | null {
  if (!/^[a-z0-9+/]+={0,2}$/i.test(base64)) return null;
  const key = Buffer.from(base64, 'base64');
  try {
    if (type === 'ed25519') {
      const jwk = { kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') };
      return createPublicKey({ format: 'jwk', key: jwk });
    }
    const read = createPublicKey({ key, format: 'der', type: 'spki' });
    return read.asymmetricKeyType === 'rsa' ? read : null;
  } catch {
    return null;
  }
}
