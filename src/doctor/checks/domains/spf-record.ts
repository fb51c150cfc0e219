import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { TroubleshootingId } from '../../troubleshooting.ts';

/** A record that receivers cannot evaluate (RFC 7208, section 2.6.7: `permerror`). */
export class SpfError extends Error {
  override readonly name = 'SpfError';
  readonly id: TroubleshootingId;

  constructor(id: TroubleshootingId, detail: string) {
    super(detail);
    this.id = id;
  }
}

/** A term that matches hosts. */
export interface Mechanism {
  readonly qualifier: string;
  readonly name: string;
  /** The domain or network after the colon. */
  readonly target: string | null;
}

export interface SpfRecord {
  readonly mechanisms: readonly Mechanism[];
  readonly redirect: string | null;
}

/**
 * Parses an SPF record (RFC 7208, section 4.5).
 *
 * @throws {SpfError} a term is not valid, which makes the whole record invalid
 */
export function parseRecord(text: string): SpfRecord {
  const mechanisms: Mechanism[] = [];
  const modifiers = new Map<string, string>();
  for (const term of text.split(' ').slice(1).filter(Boolean)) {
    const [, modifier, value = ''] = /^([a-z][a-z0-9_.-]*)=(.*)$/i.exec(term) ?? [];
    if (modifier === undefined) mechanisms.push(parseMechanism(term));
    else {
      const name = modifier.toLowerCase();
      if (modifiers.has(name) && (name === 'redirect' || name === 'exp')) throw syntaxError(term);
      modifiers.set(name, value);
    }
  }
  const redirect = modifiers.get('redirect');
  if (redirect === '') throw syntaxError('redirect=');
  // RFC 7208, section 5.1: `redirect` is ignored if there is an `all`.
  const hasAll = mechanisms.some(({ name }) => name === 'all');
  return { mechanisms, redirect: redirect === undefined || hasAll ? null : toName(redirect) };
}

/** What may follow the name of each mechanism (RFC 7208, section 12). */
const ARGUMENTS: Readonly<Record<string, RegExp>> = {
  all: /^$/,
  include: /^:(.+)$/,
  exists: /^:(.+)$/,
  ptr: /^(?::(.+))?$/,
  a: /^(?::([^/]+))?(?:\/\d{1,2})?(?:\/\/\d{1,3})?$/,
  mx: /^(?::([^/]+))?(?:\/\d{1,2})?(?:\/\/\d{1,3})?$/,
  ip4: /^:(.+)$/,
  ip6: /^:(.+)$/,
};

function parseMechanism(term: string): Mechanism {
  const [, qualifier = '', spelled = '', rest = ''] = /^([-+~?]?)([a-z0-9]+)(.*)$/i.exec(term) ?? [];
  const name = spelled.toLowerCase();
  const found = ARGUMENTS[name]?.exec(rest);
  if (!found) throw syntaxError(term);
  const target = found[1] === undefined ? null : toName(found[1]);
  if ((name === 'ip4' || name === 'ip6') && !isNetwork(target ?? '', name === 'ip4' ? 4 : 6))
    throw syntaxError(term);
  return { qualifier: qualifier || '+', name, target };
}

/** Whether the text is an address of this family, or a network in CIDR notation. */
function isNetwork(text: string, family: 4 | 6): boolean {
  const [address = '', prefix] = text.split('/');
  return isIP(address) === family && (prefix === undefined || ipaddr.isValidCIDR(text));
}

function syntaxError(term: string): SpfError {
  return new SpfError(
    'spf_invalid',
    `the record contains ${JSON.stringify(term.slice(0, 100))}, which is not valid`,
  );
}

function toName(text: string): string {
  return text.toLowerCase().replace(/\.$/, '');
}
