import { styleText } from 'node:util';
import { type Logger, pino, stdSerializers } from 'pino';
import type { Config } from './config/config.ts';
import type { Delivery, DeliveryError } from './core/delivery/delivery.ts';
import { type BouncedRecipient, bouncedIn, type FollowUpKind } from './core/delivery/follow-up.ts';
import type { Fault } from './core/delivery/outcome.ts';
import { traceIdOf } from './core/delivery/trace-context.ts';
import type { Events } from './core/events.ts';
import { BULK_MESSAGES } from './core/gmail-volume.ts';
import type { Notice } from './core/ports/outbox.ts';
import { redactAddresses } from './core/redact-addresses.ts';
import { toIso } from './core/time.ts';
import { openLogOutput } from './log-output.ts';
import { createPrettyFormat } from './log-pretty.ts';

/**
 * Creates a logger that writes to standard output. A slow, stuck or closed reader never blocks the
 * service: see log-output.ts.
 *
 * @param format `auto`: pretty if standard output is a terminal, else JSON
 */
export function createLogger(level: Config['logLevel'], format: Config['logFormat']): Logger {
  const options = { level, base: null, timestamp, formatters: { level: toLevelField } };
  const { fd, isTTY } = process.stdout;
  if (format === 'json' || (format === 'auto' && !isTTY))
    return pino(options, openLogOutput(fd, describeGap));
  // styleText omits colors if standard output is not a terminal, and follows NO_COLOR and
  // FORCE_COLOR.
  const pretty = createPrettyFormat((color, text) => styleText(color, text, { stream: process.stdout }));
  const output = openLogOutput(fd, (dropped) => pretty(describeGap(dropped)));
  return pino(options, { ...output, write: (line: string) => output.write(pretty(line)) });
}

/** Returns the line, with its newline, that reports a number of dropped lines. */
function describeGap(dropped: number): string {
  return `{"level":"warn"${timestamp()},"dropped":${dropped},"msg":"log lines dropped"}\n`;
}

function toLevelField(label: string): { level: string } {
  return { level: label };
}

function timestamp(): string {
  return `,"time":"${toIso(Date.now())}"`;
}

/**
 * Logs internal events. Lines never contain a message body, a recipient address, a secret or a
 * certificate.
 */
export function logEvents(events: Events, logger: Logger): void {
  events.on('message.attempted', (delivery, attempt, { server, fault, accepted, refused }) => {
    const line = {
      request_id: delivery.requestId,
      trace_id: traceIdOf(delivery.trace),
      msg_id: delivery.id,
      attempt: attempt.number,
      account: attempt.account,
      server,
      duration_ms: (attempt.endedAt ?? attempt.startedAt) - attempt.startedAt,
      accepted: accepted.length,
      refused: refused.length,
      smtp_code: attempt.smtp?.code,
      smtp_enhanced: attempt.smtp?.enhanced,
    };
    if (fault)
      logger.warn(
        { ...line, ...failureFields(fault, delivery), certain: fault.certain, retryable: fault.retryable },
        'attempt failed',
      );
    else logger.info(line, 'attempt accepted');
  });
  events.on('message.searched', ({ requestId, trace, id, lookup }, result) => {
    const line = {
      request_id: requestId,
      trace_id: traceIdOf(trace),
      msg_id: id,
      account: lookup?.account,
      attempt: lookup?.attempt,
      found: result.kind === 'found',
    };
    if (result.kind === 'failed')
      logger.warn(
        { ...line, code: result.fault.code, detail: redactAddresses(result.fault.detail) },
        'Sent Mail could not be searched',
      );
    else logger.info(line, 'Sent Mail searched');
  });
  events.on('message.followed_up', (delivery, followUp) => {
    const line = {
      request_id: delivery.requestId,
      trace_id: traceIdOf(delivery.trace),
      msg_id: delivery.id,
      account: delivery.account,
    };
    if (followUp.kind === 'bounced')
      for (const each of bouncedIn(followUp, delivery))
        logger.warn(bounceLine(line, each), 'recipient bounced');
    else logger.info(line, FOLLOWED[followUp.kind]);
  });
  events.on('message.bounced_late', ({ id, account }, recipients) => {
    const line = { msg_id: id, account };
    for (const each of recipients)
      logger.warn(bounceLine(line, each), 'recipient of a message that is no longer stored bounced');
  });
  events.on('inbox.watched', (account) => {
    logger.info({ account }, 'inbox watched');
  });
  events.on('inbox.failed', (account, { code, detail }) => {
    logger.warn({ account, code, detail: redactAddresses(detail) }, 'inbox could not be read');
  });
  events.on('inbox.ignored', (account, reason) => {
    if (reason === 'unreadable') logger.warn({ account }, 'mail in the inbox could not be read');
    else logger.debug({ account, reason }, 'mail in the inbox ignored');
  });
  events.on('account.paused', (user, error, untilAt) =>
    logger.error(accountLine(user, error, untilAt), 'account paused'),
  );
  events.on('account.short', (user, error, untilAt) =>
    logger.warn(accountLine(user, error, untilAt), 'mail waits for quota'),
  );
  events.on('account.mailbox', (account, fault) => {
    if (fault)
      logger.warn(
        { account, code: fault.code, detail: redactAddresses(fault.detail) },
        'mailbox cannot be read; sending goes on',
      );
    else logger.info({ account }, 'mailbox can be read again');
  });
  events.on('domain.near_bulk', (domain, messages) => {
    logger.warn(
      { domain, messages, bulk_from: BULK_MESSAGES },
      "domain nears the number of messages in 24 hours from which Gmail's rules for bulk senders apply",
    );
  });
  events.on('account.resumed', (account) => {
    logger.info({ account }, 'account resumed');
  });
  events.on('webhook.attempted', (notice, result) => {
    if (result.kind === 'failed')
      logger.warn({ ...noticeLine(notice), reason: result.reason }, 'webhook failed');
    else logger.debug(noticeLine(notice), 'webhook delivered');
  });
  events.on('webhook.dropped', (notice, reason) => {
    logger.error({ ...noticeLine(notice), reason }, 'webhook dropped');
  });
  events.on('webhook.gone', (url, dropped) => {
    logger.error(
      { endpoint: hostOf(url), dropped },
      'webhook endpoint responded 410; no further events until a restart or SIGHUP',
    );
  });
  events.on('worker.failed', (id, error) => {
    logger.error(
      { ...itemLine(id), err: error instanceof Error ? stdSerializers.err(error) : error },
      'queue worker failed',
    );
  });
}

const FOLLOWED = {
  delayed: 'message delayed by its receiving server',
  replied: 'message replied to',
  auto_replied: 'message replied to automatically',
} as const satisfies Record<Exclude<FollowUpKind, 'bounced'>, string>;

/** Leaves out the address, and the text of the reply, which can name it. */
function bounceLine(
  line: object,
  { bounce: { smtp, reportingMta, unverified, ...bounce } }: BouncedRecipient,
) {
  return {
    ...line,
    class: bounce.class,
    smtp_code: smtp?.code,
    smtp_enhanced: smtp?.enhanced,
    reporting_mta: reportingMta === null ? undefined : redactAddresses(reportingMta),
    unverified,
  };
}

/** The reply of the server, in `detail`, can name recipients. A bug's message can quote the content. */
function failureFields({ error: { code, detail, hint } }: Fault, { recipients }: Delivery) {
  const known = recipients.map(({ email }) => email);
  return { code, detail: code === 'internal_error' ? undefined : redactAddresses(detail, known), hint };
}

function accountLine(account: string, { code, detail, hint }: DeliveryError, untilAt: number) {
  return { account, code, detail: redactAddresses(detail), hint, until: new Date(untilAt).toISOString() };
}

/** Leaves out path, query and body, which may be secret. */
function noticeLine({ eventId, type, about, trace, url, failures }: Notice) {
  const subject = type.startsWith('message.')
    ? { trace_id: traceIdOf(trace), msg_id: about }
    : { account: about };
  return { endpoint: hostOf(url), event_id: eventId, type, ...subject, attempt: failures + 1 };
}

/** Names the message or notice that a queue worker held, if any. */
function itemLine(id: string) {
  return id.startsWith('msg_') ? { msg_id: id } : { notice_id: id || undefined };
}

function hostOf(url: string): string {
  return new URL(url).host;
}
