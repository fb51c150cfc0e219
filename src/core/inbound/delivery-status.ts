import type { SmtpReply } from '../delivery/delivery.ts';
import { toOneLine } from '../delivery/one-line.ts';
import { parseReply } from '../delivery/smtp-reply.ts';
import { type Address, parseEmail } from '../message/address.ts';
import type { RecipientReport } from './inbound-mail.ts';

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

/** Gmail takes 100 recipients in a message. */
const MAX_RECIPIENTS = 1000;
const MAX_REPLY_LINES = 100;

/** Parses a status part. Ignores what it cannot read. */
export function parseDeliveryStatus(text: string): DeliveryStatus {
  const groups = toGroups(text);
  const find = (name: string) => groups.find((group) => group.has(name)) ?? new Map();
  const aboutRecipients = groups.filter(isAboutRecipient).slice(0, MAX_RECIPIENTS);
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

const RECIPIENT_FIELDS = ['final-recipient', 'original-recipient', 'action', 'status'];

function isAboutRecipient(group: Fields): boolean {
  return RECIPIENT_FIELDS.some((name) => group.has(name));
}

/**
 * Returns the groups of fields that blank lines separate. Continued lines stay lines of their
 * value. A second Final-Recipient starts a group too: some servers forget the blank line.
 */
function toGroups(text: string): Fields[] {
  const groups: Fields[] = [];
  let group: Fields | null = null;
  let value: string[] = [];
  for (const line of text.split(/\r\n|\r|\n/)) {
    const field = /^([!-9;-~]+)[ \t]*:(.*)$/.exec(line);
    if (/^[ \t]+\S/.test(line)) value.push(line.trim());
    else if (field === null) {
      if (line.trim() === '') group = null;
      value = [];
    } else {
      const name = (field[1] ?? '').toLowerCase();
      value = [(field[2] ?? '').trim()];
      if (group === null || (name === 'final-recipient' && group.has(name))) {
        group = new Map();
        groups.push(group);
      }
      if (!group.has(name)) group.set(name, value);
    }
  }
  return groups;
}

function toRecipient(group: Fields): RecipientReport | null {
  const [first = '', ...more] = group.get('diagnostic-code') ?? [];
  const lines = [first.replace(/^[A-Za-z0-9-]+[ \t]*;/, ''), ...more.slice(0, MAX_REPLY_LINES)];
  const smtp = toReply(lines);
  const status = toStatus(fieldOf(group, 'status'), lines);
  const action = toAction(fieldOf(group, 'action'), status, smtp);
  if (action === null) return null;
  const addresses = [fieldOf(group, 'final-recipient'), fieldOf(group, 'original-recipient')]
    .map(toAddress)
    .filter((address) => address !== null);
  return {
    addresses: [...new Set(addresses)],
    action,
    status,
    smtp,
    diagnostic: (smtp === null && toOneLine(lines)) || null,
  };
}

/** Returns the reply that the lines quote, or null if they quote none. */
export function toReply(lines: readonly string[]): SmtpReply | null {
  const reply = parseReply(lines.map((line) => line.trim()).join('\n'));
  return reply.code === 0 ? null : reply;
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

/** Gmail writes `5.0.0` where the server uses `#5.1.0`. */
const STATUS = /^[245]\.\d{1,3}\.\d{1,3}(?![\d.])/;
const STATUS_OF_REPLY = /^(?:[45]\d\d[ -])?[^\w.]*([45]\.\d{1,3}\.\d{1,3})(?![\d.])/;

/** The code of the reply replaces a missing status, and one that states the class alone. */
function toStatus(written: string, lines: readonly string[]): string | null {
  const status = STATUS.exec(written)?.[0] ?? null;
  const ofReply = STATUS_OF_REPLY.exec(lines[0]?.trim() ?? '')?.[1] ?? null;
  if (status === null) return ofReply;
  return /^[45]\.0\.0$/.test(status) && ofReply?.startsWith(status.slice(0, 2)) ? ofReply : status;
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

/** Returns the name in `dns; mx.example.com (192.0.2.1)`. */
function toHost(value: string): string | null {
  const name = value
    .replace(/^[A-Za-z0-9-]+[ \t]*;/, '')
    .trim()
    .split(/[\s(]/)[0];
  return name ? toOneLine([name.slice(0, 255)]).replace(/\.$/, '') || null : null;
}
