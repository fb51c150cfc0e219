import type { SmtpReply } from '../delivery/delivery.ts';
import { toOneLine } from '../delivery/one-line.ts';
import { type Address, parseEmail } from '../message/address.ts';
import type { RecipientReport } from './inbound-mail.ts';
import { findReply } from './quoted-reply.ts';

/** The body of a message/delivery-status part (RFC 3464). */
export interface DeliveryStatus {
  /** Nothing but blank lines. */
  readonly isEmpty: boolean;
  readonly reportingMta: string | null;
  /** Value of the field that Gmail adds. */
  readonly originalMessageId: string | null;
  /** Whether it states anything about a recipient. */
  readonly hasRecipients: boolean;
  /** Recipients that failed or wait. Those that got the message are left out. */
  readonly recipients: readonly RecipientReport[];
}

/** Lines of the value by name. */
type Fields = Map<string, readonly string[]>;

/** Maximum number of recipients of a report that are read. Gmail takes 100 in a message. */
export const MAX_RECIPIENTS = 1000;
const MAX_REPLY_LINES = 100;
/** Longest Action or Status that is read. */
const MAX_KEYWORD = 1000;

/** Parses a status part. Ignores what it cannot read. */
export function parseDeliveryStatus(text: string): DeliveryStatus {
  const groups = toGroups(text);
  const find = (name: string) => groups.find((group) => group.has(name)) ?? new Map();
  const aboutRecipients = recipientGroupsOf(groups);
  return {
    isEmpty: text.trim() === '',
    reportingMta: toHost(fieldOf(find('reporting-mta'), 'reporting-mta')),
    originalMessageId: fieldOf(find('x-original-message-id'), 'x-original-message-id') || null,
    hasRecipients: aboutRecipients.length > 0,
    recipients: aboutRecipients.flatMap((group) => toRecipient(group) ?? []),
  };
}

/** Returns the value of a field on one line, or an empty text. */
function fieldOf(group: Fields, name: string): string {
  return (group.get(name) ?? []).join('');
}

/** The value without comments, which are allowed anywhere (RFC 3464, section 2.1). */
function keywordOf(group: Fields, name: string): string {
  return fieldOf(group, name)
    .slice(0, MAX_KEYWORD)
    .replace(/\([^()]*\)/g, ' ')
    .trim();
}

const RECIPIENT_NAMES = ['final-recipient', 'original-recipient'];

function namesRecipient(group: Fields): boolean {
  return RECIPIENT_NAMES.some((name) => group.has(name));
}

/** Some servers add an Action to the fields of the message. Then only groups with a name count. */
function recipientGroupsOf(groups: readonly Fields[]): Fields[] {
  const named = groups.filter(namesRecipient);
  const found =
    named.length > 0 ? named : groups.filter((group) => group.has('action') || group.has('status'));
  return found.slice(0, MAX_RECIPIENTS);
}

/**
 * Returns the groups of fields that blank lines separate. Continued lines stay lines of their
 * value. The next recipient starts a group too: some servers forget the blank line.
 */
function toGroups(text: string): Fields[] {
  const groups: Fields[] = [];
  let group: Fields | null = null;
  let value: string[] = [];
  for (const line of text.split(/\r\n|\r|\n/)) {
    const field = /^([!-9;-~]+)[ \t]*:(.*)$/s.exec(line);
    if (/^[ \t]+\S/.test(line)) value.push(line.trim());
    else if (field === null) {
      if (line.trim() === '') group = null;
      value = [];
    } else {
      const name = (field[1] ?? '').toLowerCase();
      value = [(field[2] ?? '').trim()];
      if (group === null || isNextRecipient(name, group)) {
        group = new Map();
        groups.push(group);
      }
      if (!group.has(name)) group.set(name, value);
    }
  }
  return groups;
}

/** Whether a field belongs to another recipient than the group. */
function isNextRecipient(name: string, group: Fields): boolean {
  if (name === 'original-recipient' && group.has('final-recipient') && group.has('action')) return true;
  return RECIPIENT_NAMES.includes(name) && group.has(name);
}

function toRecipient(group: Fields): RecipientReport | null {
  const diagnostic = diagnosticOf(group);
  const { smtp, status: statusOfReply } = findReply(diagnostic);
  const status = toStatus(keywordOf(group, 'status'), statusOfReply);
  const action = toAction(keywordOf(group, 'action'), status, smtp);
  if (action === null) return null;
  const written = [fieldOf(group, 'final-recipient'), fieldOf(group, 'original-recipient')];
  const addresses = [...written, ...written.map(decodeXtext)].map(toAddress);
  return {
    addresses: [...new Set(addresses.filter((address) => address !== null))],
    action,
    status,
    smtp,
    diagnostic: (smtp === null && toOneLine(diagnostic.split('\n'))) || null,
  };
}

/** Returns the lines of Diagnostic-Code without its type. The first can be blank. */
function diagnosticOf(group: Fields): string {
  const lines = group.get('diagnostic-code')?.slice(0, MAX_REPLY_LINES) ?? [];
  return lines
    .join('\n')
    .trim()
    .replace(/^[A-Za-z0-9-]+[ \t]*;\s*/, '');
}

/** RFC 3464, section 2.3.3, and `deliverable` of Postfix. */
const SUCCESS = ['delivered', 'relayed', 'expanded', 'deliverable'];

/** Without a known action, the class of the status and then that of the reply decides. */
function toAction(
  action: string,
  status: string | null,
  smtp: SmtpReply | null,
): RecipientReport['action'] | null {
  const written = /^[a-z]+/i.exec(action)?.[0].toLowerCase();
  if (written === 'failed' || written === 'delayed') return written;
  if (written !== undefined && SUCCESS.includes(written)) return null;
  const digit = status?.[0] ?? String(smtp?.code ?? '')[0];
  if (digit === '5') return 'failed';
  return digit === '4' ? 'delayed' : null;
}

const STATUS = /^[245]\.\d{1,3}\.\d{1,3}(?![\d.])/;

/**
 * The code of the reply counts: a reporting server can have derived its own from `550` alone. If one
 * of them is temporary, that one counts, so that a contradiction suppresses no recipient.
 */
function toStatus(written: string, ofReply: string | null): string | null {
  const status = STATUS.exec(written)?.[0] ?? null;
  if (status === null || ofReply === null) return status ?? ofReply;
  if (/^[45]\.0\.0$/.test(ofReply)) return status;
  return status.startsWith('4') && ofReply.startsWith('5') ? status : ofReply;
}

/**
 * Returns the address in `rfc822; ada@example.com` or `utf-8; …` (RFC 6533), in canonical form;
 * null if it is no address of mail.
 */
export function toAddress(value: string): Address['email'] | null {
  const text = value
    .slice(0, 1000)
    .replace(/^[ \t]*[A-Za-z0-9-]+[ \t]*;/, '')
    .replace(/\\x\{([0-9A-Fa-f]{1,6})\}/g, (written, hex: string) => {
      const codePoint = Number.parseInt(hex, 16);
      return codePoint <= 0x10ffff ? String.fromCodePoint(codePoint) : written;
    })
    .trim();
  const bare = /<([^<>]*)>/.exec(text)?.[1] ?? text.replace(/[ \t]*\([^()]*\)$/, '');
  try {
    return parseEmail(bare.trim());
  } catch {
    return null;
  }
}

/** RFC 3461, section 4. Some servers report what a client has encoded, and others decode it. */
function decodeXtext(text: string): string {
  return text.replace(/\+([2-7][0-9A-F])/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** Returns the name in `dns; mx.example.com (192.0.2.1)`. */
function toHost(value: string): string | null {
  const name = value
    .replace(/^[A-Za-z0-9-]+[ \t]*;/, '')
    .trim()
    .split(/[\s(]/)[0];
  return name ? toOneLine([name.slice(0, 255)]).replace(/\.$/, '') || null : null;
}
