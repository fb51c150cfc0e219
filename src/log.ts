import { type Logger, type LoggerOptions, pino, stdSerializers } from 'pino';
import type { DeliveryError } from './core/delivery/delivery.ts';
import { traceIdOf } from './core/delivery/trace-context.ts';
import type { Events } from './core/events.ts';
import type { Notice } from './core/ports/outbox.ts';
import { toIso } from './core/time.ts';
import { openLogOutput } from './log-output.ts';

/**
 * Creates a logger that writes JSON lines to standard output. A slow, stuck or closed reader never
 * blocks the service: see log-output.ts.
 */
export function createLogger(level: NonNullable<LoggerOptions['level']>): Logger {
  const output = openLogOutput(
    process.stdout.fd,
    (dropped) => `{"level":"warn"${timestamp()},"dropped":${dropped},"msg":"log lines dropped"}\n`,
  );
  return pino({ level, base: null, timestamp, formatters: { level: (label) => ({ level: label }) } }, output);
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
        { ...line, code: fault.error.code, certain: fault.certain, retryable: fault.retryable },
        'attempt failed',
      );
    else logger.info(line, 'attempt accepted');
  });
  events.on('account.paused', (user, error, untilAt) =>
    logger.error(accountLine(user, error, untilAt), 'account paused'),
  );
  events.on('account.short', (user, error, untilAt) =>
    logger.warn(accountLine(user, error, untilAt), 'mail waits for quota'),
  );
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

function accountLine(account: string, { code, detail, hint }: DeliveryError, untilAt: number) {
  return { account, code, detail, hint, until: new Date(untilAt).toISOString() };
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
