import { MAX_RECIPIENTS, toAddress } from '../../../core/inbound/delivery-status.ts';
import type { RecipientReport } from '../../../core/inbound/inbound-mail.ts';
import { findReply } from '../../../core/inbound/quoted-reply.ts';

/** A report that is text alone: the words of the server, then the returned message. */
export interface TextReport {
  readonly words: string;
  /** Headers of the returned message, as quoted. Empty if none are found. */
  readonly quoted: string;
}

const MESSAGE_ID_LINE = /^[ \t>]*message-id[ \t]*:/i;
const LINE_END = /\r\n|\r|\n/;

/** Splits a report where the quoted headers begin: at the blank line before the Message-ID. */
export function splitTextReport(text: string): TextReport {
  const lines = text.split(LINE_END);
  const found = lines.findIndex((line) => MESSAGE_ID_LINE.test(line));
  if (found === -1) return { words: text, quoted: '' };
  let start = found;
  while (start > 0 && !isBlank(lines[start - 1] ?? '')) start--;
  return { words: lines.slice(0, start).join('\n'), quoted: lines.slice(start).join('\n') };
}

function isBlank(line: string): boolean {
  return /^[ \t>]*$/.test(line);
}

/**
 * Returns what the words state about each recipient, by numbers alone.
 *
 * @param failed Addresses in X-Failed-Recipients
 * @param isDelay Whether the server names the recipients of each failure, so that a report without
 *   them is a delay unless it quotes a permanent refusal
 */
export function readTextReport(
  words: string,
  failed: readonly string[],
  isDelay: boolean,
): RecipientReport[] {
  const named = failed.length > 0 || isDelay ? failed : namedIn(words);
  if (named.length === 0) {
    const statement = toStatement(words, []);
    return [{ ...statement, action: isDelay && !isPermanent(words, statement) ? 'delayed' : 'failed' }];
  }
  if (named.length === 1) return [toStatement(words, named)];
  const sections = toSections(words, named);
  return named.map((address) => toStatement(sections.get(address.toLowerCase()) ?? '', [address]));
}

/** A recipient on a line of its own, as qmail (QSBMF) and GMX write it: `<ada@example.com>:`. */
const NAMED = /^(?:<([^\s<>@]{1,100}@[^\s<>]{1,255})>|"([^\s"@]{1,100}@[^\s"]{1,255})"):[ \t]*$/gm;

function namedIn(words: string): string[] {
  const named = [...words.matchAll(NAMED)].map(([, bracketed, quoted]) => bracketed ?? quoted ?? '');
  return [...new Set(named)].slice(0, MAX_RECIPIENTS);
}

/** A permanent reply, which may have no enhanced code: `550 User unknown`. */
const PERMANENT_REPLY = /(?:^|[\s:'"])5[0-5]\d(?=[\s:-])/;

function isPermanent(words: string, { status }: RecipientReport): boolean {
  return status === null ? PERMANENT_REPLY.test(words) : status.startsWith('5');
}

const ADDRESS_AT_START = /^[\s<*"-]{0,20}([^\s<>"@]{1,100}@[^\s<>":;,]{1,255})/;

/** Servers list recipients line by line, each with its error below. */
function toSections(words: string, addresses: readonly string[]): Map<string, string> {
  const known = new Set(addresses.map((address) => address.toLowerCase()));
  const sections = new Map<string, string>();
  let current: string | null = null;
  for (const line of words.split(LINE_END)) {
    const address = ADDRESS_AT_START.exec(line)?.[1]?.toLowerCase() ?? '';
    if (known.has(address)) current = address;
    if (current !== null) sections.set(current, `${sections.get(current) ?? ''}${line}\n`);
  }
  return sections;
}

/** Without the code of SMTP: `5.2.2 <ada@example.com>` of GMX. */
const ENHANCED = /(?<![\w.])([45]\.\d{1,3}\.\d{1,3})(?![\w.])/;

function toStatement(words: string, addresses: readonly string[]): RecipientReport {
  const { smtp, status } = findReply(words);
  return {
    addresses: addresses.map(toAddress).filter((address) => address !== null),
    action: 'failed',
    status: status ?? ENHANCED.exec(words)?.[1] ?? null,
    smtp,
    diagnostic: null,
  };
}
