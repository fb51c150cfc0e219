/**
 * Mails about a message that was accepted: reports of Gmail (RFC 3464), replies and automatic
 * replies (RFC 3834). Their structure is that of real ones, without pictures and signatures.
 */
import { randomUUID } from 'node:crypto';
import { domainOf } from './relay.ts';
import { type ReportLanguage, reportText } from './report-texts.ts';

/** A message decoded as UTF-8, or the octets of one that is not UTF-8. */
export type MailSource = string | Buffer;

/** A message that the simulator has accepted. */
export interface OriginalMessage {
  /** The user of the account, who receives the report. */
  readonly user: string;
  readonly recipient: string;
  /** The message as filed. */
  readonly source: MailSource;
  /** In epoch ms. */
  readonly acceptedAt: number;
}

export interface Report {
  readonly action: 'failed' | 'delayed';
  /**
   * The enhanced code (RFC 3463), and the reply of the recipient's server, with CRLF between its
   * lines. Null: the status part is empty.
   */
  readonly status: { readonly code: string; readonly reply: string } | null;
}

const DAEMON = 'mailer-daemon@googlemail.com';
const HOUR_MS = 60 * 60 * 1000;
/** Maximum number of characters of the message in a report. */
const MAX_RETURNED = 4096;

export function buildReport(original: OriginalMessage, report: Report, language: ReportLanguage): string {
  const { user, recipient } = original;
  const raw = original.source.toString();
  const { action, status } = report;
  const [outer, inner, alternative] = [randomUUID(), randomUUID(), randomUUID()].map((id) =>
    id.replaceAll('-', '').slice(0, 28),
  );
  const { title, text, response } = reportText(language, action, recipient);
  const reply = status?.reply ?? 'The settings of your "Send mail as" address are misconfigured.';
  return lines(
    ...deliveryHeader(user, DAEMON, 'googlemail.com'),
    `Content-Type: multipart/report; boundary="${outer}"; report-type=delivery-status`,
    `To: ${user}`,
    'Auto-Submitted: auto-replied',
    `Message-ID: <${randomUUID().slice(0, 23)}.GMR@mx.google.com>`,
    `Date: ${toDate(Date.now())}`,
    `From: Mail Delivery Subsystem <${DAEMON}>`,
    `Subject: Delivery Status Notification (${action === 'failed' ? 'Failure' : 'Delay'})`,
    ...threadHeader(raw),
    ...(action === 'failed' ? [`X-Failed-Recipients: ${recipient}`] : []),
    '',
    `--${outer}`,
    `Content-Type: multipart/related; boundary="${inner}"`,
    '',
    `--${inner}`,
    `Content-Type: multipart/alternative; boundary="${alternative}"`,
    '',
    `--${alternative}`,
    'Content-Type: text/plain; charset="UTF-8"',
    '',
    '',
    `** ${title} **`,
    '',
    text,
    '',
    response,
    '',
    reply,
    '',
    `--${alternative}`,
    'Content-Type: text/html; charset="UTF-8"',
    '',
    `<html><body><h2>${title}</h2><p>${text}</p><p>${response}</p><pre>${reply}</pre></body></html>`,
    '',
    `--${alternative}--`,
    `--${inner}--`,
    `--${outer}`,
    'Content-Type: message/delivery-status',
    '',
    ...(status ? statusPart(original, raw, action, status) : []),
    '',
    `--${outer}`,
    'Content-Type: message/rfc822',
    '',
    returned(raw),
    '',
    `--${outer}--`,
  );
}

/** Builds a reply of the recipient. */
export function buildReply({ user, recipient, source }: OriginalMessage, isAutomatic: boolean): string {
  const raw = source.toString();
  return lines(
    ...deliveryHeader(user, recipient, domainOf(recipient)),
    'MIME-Version: 1.0',
    `From: ${recipient}`,
    `To: ${user}`,
    ...(isAutomatic ? ['Auto-Submitted: auto-replied', 'Precedence: bulk'] : []),
    `Message-ID: <${randomUUID()}@${domainOf(recipient)}>`,
    `Date: ${toDate(Date.now())}`,
    `Subject: ${isAutomatic ? 'Automatic reply' : 'Re'}: ${fieldOf(raw, 'Subject')}`,
    ...threadHeader(raw),
    'Content-Type: text/plain; charset="UTF-8"',
    '',
    isAutomatic ? 'I am out of the office.' : 'Thank you!',
  );
}

/**
 * Returns what mx.google.com adds to a mail that it has authenticated.
 *
 * @param signer domain that signed by DKIM
 */
export function deliveryHeader(user: string, sender: string, signer: string): string[] {
  const domain = domainOf(sender);
  // A report has no envelope sender.
  const envelopeFrom = sender === DAEMON ? '' : sender;
  const server = sender === DAEMON ? 'mail-sor-f69.google.com' : `mail.${domain}`;
  const id = randomUUID().replaceAll('-', '').slice(0, 20);
  const now = toDate(Date.now());
  const results = [
    `       dkim=pass header.i=@${signer} header.s=20230601;`,
    `       spf=pass (google.com: domain of ${envelopeFrom || `postmaster@${server}`} designates 209.85.220.69 as permitted sender) smtp.mailfrom=${envelopeFrom};`,
    `       dmarc=pass (p=QUARANTINE sp=QUARANTINE dis=NONE) header.from=${domain}`,
  ];
  return [
    `Delivered-To: ${user}`,
    `Received: by 2002:ac9:644e:0:0:0:0:0 with SMTP id ${id};`,
    `        ${now}`,
    'ARC-Authentication-Results: i=1; mx.google.com;',
    ...results,
    `Return-Path: <${envelopeFrom}>`,
    `Received: from ${server} (${server}. [209.85.220.69])`,
    `        by mx.google.com with SMTPS id ${id}`,
    `        for <${user}>;`,
    `        ${now}`,
    'Authentication-Results: mx.google.com;',
    ...results,
    'DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;',
    `        d=${signer}; s=20230601; h=from:to:subject:message-id:date; bh=; b=`,
  ];
}

function threadHeader(raw: string): string[] {
  const id = fieldOf(raw, 'Message-ID');
  return id === '' ? [] : [`References: ${id}`, `In-Reply-To: ${id}`];
}

function statusPart(
  { recipient, acceptedAt }: OriginalMessage,
  raw: string,
  action: 'failed' | 'delayed',
  { code, reply }: NonNullable<Report['status']>,
): string[] {
  const domain = domainOf(recipient);
  return [
    'Reporting-MTA: dns; googlemail.com',
    `Arrival-Date: ${toDate(acceptedAt)}`,
    `X-Original-Message-ID: ${fieldOf(raw, 'Message-ID')}`,
    '',
    `Final-Recipient: rfc822; ${recipient}`,
    `Action: ${action}`,
    `Status: ${code}`,
    `Remote-MTA: dns; mx.${domain}. (192.0.2.25, the server for the domain ${domain}.)`,
    `Diagnostic-Code: smtp; ${reply.replaceAll('\r\n', '\r\n ')}`,
    `Last-Attempt-Date: ${toDate(Date.now())}`,
    ...(action === 'delayed' ? [`Will-Retry-Until: ${toDate(acceptedAt + 72 * HOUR_MS)}`] : []),
  ];
}

/** Returns the beginning of the message. Gmail cuts long ones, too. */
function returned(raw: string): string {
  const headEnd = raw.indexOf('\r\n\r\n') + 4;
  const end = Math.max(headEnd, MAX_RETURNED);
  return raw.length <= end ? raw : `${raw.slice(0, end)}\r\n----- Message truncated -----`;
}

function fieldOf(raw: string, name: string): string {
  const [head = ''] = raw.split('\r\n\r\n', 1);
  const value = new RegExp(`^${name}:(.*(?:\\r\\n[ \\t].*)*)`, 'im').exec(head)?.[1] ?? '';
  return value.replace(/\r\n/g, '').trim();
}

/** `Sun, 20 May 2018 21:42:10 +0000`. */
function toDate(epochMs: number): string {
  return new Date(epochMs).toUTCString().replace('GMT', '+0000');
}

function lines(...parts: string[]): string {
  return parts.map((part) => `${part}\r\n`).join('');
}
