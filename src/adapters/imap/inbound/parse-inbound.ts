import { hash } from 'node:crypto';
import { parseAuthenticationResults } from '../../../core/inbound/authentication-results.ts';
import { MAX_RECIPIENTS, parseDeliveryStatus, toAddress } from '../../../core/inbound/delivery-status.ts';
import {
  findOurMessageIds,
  type InboundMail,
  type RecipientReport,
} from '../../../core/inbound/inbound-mail.ts';
import { hasControlCharacters } from '../../../core/message/address.ts';
import { firstValueOf, fromOf, mailboxesIn, mailTypeOf, valuesOf } from './mail-type.ts';
import { type Headers, type MailParts, readMail } from './read-mail.ts';
import { readTextReport, splitTextReport } from './text-report.ts';

/** Which part of a mail is worth reading. Null: none, for it cannot concern a message of ours. */
export type Candidate = 'report' | 'reply' | null;

/** A report names one message, and a reply a thread. */
const MAX_CANDIDATES = 20;

/**
 * Decides by the headers of a mail whether it can be a report, whose body is needed, or a reply,
 * whose headers suffice. Never rejects.
 */
export async function candidateOf(headerBytes: Uint8Array): Promise<Candidate> {
  const { headers } = await readMail(headerBytes);
  const type = mailTypeOf(headers);
  if (type === 'report') return 'report';
  return type !== 'other' && idsOfThread(headers).length > 0 ? 'reply' : null;
}

/**
 * Parses a report, or the headers of a reply. The bytes may end anywhere. Never rejects: what
 * cannot be parsed is `other`.
 *
 * @param isCut Whether the mail has more bytes than these
 */
export async function parseInbound(raw: Uint8Array, isCut: boolean): Promise<InboundMail> {
  const parts = await readMail(raw);
  const { headers } = parts;
  const type = parts.isOtherReport ? 'other' : mailTypeOf(headers);
  const common = {
    mailId: mailIdOf(headers),
    from: fromOf(headers),
    authentication: parseAuthenticationResults(firstValueOf(headers, 'authentication-results') ?? ''),
  };
  if (type === 'report') return { ...common, ...parseReport(parts, isCut) };
  return {
    ...common,
    kind: type === 'personal' ? 'reply' : type,
    candidates: type === 'other' ? [] : unique(idsOfThread(headers)),
    recipients: [],
    reportingMta: null,
    isEmptyReport: false,
  };
}

/** A mail without a Message-ID is recognized by its headers. */
function mailIdOf(headers: Headers): string {
  const written = firstValueOf(headers, 'message-id')?.match(/<[^\s<>]{1,900}>/)?.[0];
  if (written !== undefined && !hasControlCharacters(written)) return written;
  return `sha256:${hash('sha256', headers.map(({ key, value }) => `${key}:${value}`).join('\n'))}`;
}

type Report = Pick<InboundMail, 'kind' | 'candidates' | 'recipients' | 'reportingMta' | 'isEmptyReport'>;

function parseReport({ headers, text, status: statusPart, returned }: MailParts, isCut: boolean): Report {
  const status = statusPart === null ? null : parseDeliveryStatus(statusPart);
  const { words, quoted } = splitTextReport(text);
  const failed = valuesOf(headers, 'x-failed-recipients').flatMap(mailboxesIn).slice(0, MAX_RECIPIENTS);
  const isEmptyReport = status?.isEmpty === true && !isCut;
  // Without groups of recipients, it is a report without parts. With groups of which none failed or
  // waits, it reports success.
  const isText = status === null || !status.hasRecipients;
  const recipients = isText
    ? readTextReport(words, failed, namesEachFailure(headers)).map((recipient) =>
        isEmptyReport ? { ...recipient, action: 'failed' as const } : recipient,
      )
    : withAddresses(status.recipients, failed);
  const ids = [
    ...(status?.originalMessageId ? [status.originalMessageId] : idsOfReport(headers)),
    ...messageIdsIn(returned ?? ''),
    ...messageIdsIn(quoted),
  ];
  return {
    kind: recipients.length > 0 ? 'report' : 'other',
    candidates: unique(ids.flatMap(withBrackets).flatMap(findOurMessageIds)),
    recipients,
    reportingMta: status?.reportingMta ?? null,
    isEmptyReport,
  };
}

/** Gmail and Exim put each failed recipient into X-Failed-Recipients. Exim's ids begin with E. */
function namesEachFailure(headers: Headers): boolean {
  return (
    fromOf(headers)?.endsWith('@googlemail.com') === true ||
    /^<E[0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}@/.test(firstValueOf(headers, 'message-id') ?? '') ||
    valuesOf(headers, 'received').some((value) => /\bwith local \(Exim\b/.test(value))
  );
}

/** X-Failed-Recipients names the recipient if the only group of a report does not. */
function withAddresses(
  recipients: readonly RecipientReport[],
  failed: readonly string[],
): readonly RecipientReport[] {
  const [first] = recipients;
  if (first === undefined || recipients.length > 1 || first.addresses.length > 0) return recipients;
  const addresses = failed.map(toAddress).filter((address) => address !== null);
  return addresses.length === 0
    ? recipients
    : addresses.map((address) => ({ ...first, addresses: [address] }));
}

/** Gmail keeps a Message-ID that it replaces in a header of its own. */
const MESSAGE_ID_HEADER =
  /^[ \t>]*(?:x-google-original-|x-gmail-original-)?message-id[ \t]*:(.*(?:\r?\n[ \t].*)?)/gim;

/** Returns the Message-IDs in the headers that a returned message begins with. */
function messageIdsIn(message: string): string[] {
  const headers = message.trimStart().split(/\r?\n[ \t>]*\r?\n/, 1)[0] ?? '';
  return [...headers.matchAll(MESSAGE_ID_HEADER)].slice(0, MAX_CANDIDATES).map(([, value = '']) => value);
}

/** Returns the ids that a report refers to. The last of a thread is that of the message. */
function idsOfReport(headers: Headers): string[] {
  const thread = firstValueOf(headers, 'references')?.match(/<[^<>]*>/g) ?? [];
  return [...valuesOf(headers, 'in-reply-to'), ...thread.slice(-1)];
}

/** Returns the ids of a thread: first the message that is replied to. */
function idsOfThread(headers: Headers): string[] {
  const references = valuesOf(headers, 'references').flatMap(findOurMessageIds).reverse();
  const repliedTo = valuesOf(headers, 'in-reply-to').flatMap(withBrackets).flatMap(findOurMessageIds);
  return [...repliedTo, ...references];
}

/** Some programs drop the angle brackets. */
function withBrackets(value: string): string[] {
  const id = value.trim();
  return [/^[^\s<>]+$/.test(id) ? `<${id}>` : id];
}

function unique(ids: readonly string[]): string[] {
  return [...new Set(ids)].slice(0, MAX_CANDIDATES);
}
