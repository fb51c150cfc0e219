/** X-GM-RAW: the part of Gmail's search language that concerns headers and dates. */
import { FOLDER_ROLES } from '../mailbox/folder.ts';
import { findField, parseHeader } from '../mailbox/header.ts';
import { BadCommand } from './arguments.ts';
import type { Criterion } from './search.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Parses terms such as `rfc822msgid:<id@example.com>` and `from:mailer-daemon`. All of them must
 * match.
 *
 * @throws {BadCommand} for an operator that the simulator does not know
 */
export function parseGmailQuery(query: string): Criterion {
  const terms = query.match(/(?:[^\s"]|"[^"]*")+/g) ?? [];
  const criteria = terms.map(parseTerm);
  return (entry) => criteria.every((criterion) => criterion(entry));
}

function parseTerm(term: string): Criterion {
  if (/^-[^-]/.test(term)) {
    const excluded = parseTerm(term.slice(1));
    return (entry) => !excluded(entry);
  }
  if (/^[({]|[)}]$|^OR$|^\|$/.test(term))
    throw new BadCommand(`X-GM-RAW: the simulator knows no groups: ${term}`);
  const [, operator = '', quoted = ''] = /^(?:([a-z0-9_]+):)?(.*)$/i.exec(term) ?? [];
  const value = quoted.replaceAll('"', '').toLowerCase();
  switch (operator.toLowerCase()) {
    case 'rfc822msgid': {
      const id = value.replace(/^<|>$/g, '');
      return ({ mail }) => fieldOf(mail.content, 'Message-ID').replace(/^<|>$/g, '') === id;
    }
    case 'from':
    case 'to':
    case 'subject':
      return ({ mail }) => fieldOf(mail.content, operator).includes(value);
    case 'after': {
      const after = parseTime(value);
      return ({ mail }) => mail.receivedAt >= after;
    }
    case 'before': {
      const before = parseTime(value);
      return ({ mail }) => mail.receivedAt < before;
    }
    case 'newer_than': {
      const days = /^(\d+)d$/.exec(value)?.[1];
      if (days === undefined) throw new BadCommand(`X-GM-RAW: the simulator knows only days: ${term}`);
      return ({ mail }) => mail.receivedAt >= Date.now() - Number(days) * DAY_MS;
    }
    case 'in':
      if (value === 'anywhere') return () => true;
      if (!(FOLDER_ROLES as readonly string[]).includes(value)) break;
      return ({ mail }) => mail.role === value;
    case '':
      return ({ mail }) => mail.content.toLowerCase().includes(value);
  }
  throw new BadCommand(`X-GM-RAW: the simulator does not know ${term}`);
}

function fieldOf(content: string, name: string): string {
  return findField(parseHeader(content), name)?.toLowerCase() ?? '';
}

/** A date such as 2026/12/01, or Unix seconds. Returns epoch ms. */
function parseTime(value: string): number {
  const epochMs = /^\d{9,11}$/.test(value) ? Number(value) * 1000 : Date.parse(value.replaceAll('/', '-'));
  if (Number.isNaN(epochMs)) throw new BadCommand(`X-GM-RAW: not a date: ${value}`);
  return epochMs;
}
