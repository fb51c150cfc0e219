import { type Logger, type LoggerOptions, pino, stdSerializers } from 'pino';
import type { DeliveryError } from './core/delivery/delivery.ts';
import type { Events } from './core/events.ts';
import type { Notice } from './core/ports/outbox.ts';
import { openLogOutput } from './log-output.ts';

/** Logs JSON lines on standard output. A reader that is slow, stuck or gone never holds the service up: see log-output.ts. */
export function createLogger(level: NonNullable<LoggerOptions['level']>): Logger {
  const output = openLogOutput(
    process.stdout.fd,
    (dropped) => `{"level":"warn"${timestamp()},"dropped":${dropped},"msg":"log lines dropped"}\n`,
  );
  return pino({ level, base: null, timestamp, formatters: { level: (label) => ({ level: label }) } }, output);
}

function timestamp(): string {
  return `,"time":"${new Date().toISOString()}"`;
}

/** One line for each attempt and each turn of the account. Never a body, an address of a recipient, a secret or a certificate. */
export function logEvents(events: Events, logger: Logger): void {
  events.on('message.attempted', (delivery, attempt, { server, fault, accepted, refused }) => {
    const line = {
      request_id: delivery.requestId,
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
  events.on('account.short', (...what) => logger.warn(accountLine(...what), 'mail waits for quota'));
  events.on('account.resumed', (account) => {
    logger.info({ account }, 'account resumed');
  });
  events.on('webhook.attempted', (notice, answer) => {
    if (answer.kind === 'failed')
      logger.warn({ ...noticeLine(notice), reason: answer.reason }, 'webhook failed');
    else logger.debug(noticeLine(notice), 'webhook answered');
  });
  events.on('webhook.dropped', (notice, reason) => {
    logger.error({ ...noticeLine(notice), reason }, 'webhook dropped');
  });
  events.on('webhook.gone', (url, dropped) => {
    logger.error(
      { endpoint: hostOf(url), dropped },
      'webhook endpoint answered 410: it gets nothing more until a restart or SIGHUP',
    );
  });
  events.on('lane.failed', (id, error) => {
    logger.error(
      { ...laneItem(id), err: error instanceof Error ? stdSerializers.err(error) : error },
      'lane failed',
    );
  });
}

function accountLine(account: string, { code, detail, hint }: DeliveryError, untilAt: number) {
  return { account, code, detail, hint, until: new Date(untilAt).toISOString() };
}

/** No path, query or body: those are the endpoint's business, and may be secret. */
function noticeLine({ eventId, type, about, url, failures }: Notice) {
  const subject = type.startsWith('message.') ? { msg_id: about } : { account: about };
  return { endpoint: hostOf(url), event_id: eventId, type, ...subject, attempt: failures + 1 };
}

/** A lane holds a message or a notice, or has failed to take either. */
function laneItem(id: string) {
  return id.startsWith('msg_') ? { msg_id: id } : { notice_id: id || undefined };
}

function hostOf(url: string): string {
  return new URL(url).host;
}
