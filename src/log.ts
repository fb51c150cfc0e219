import { once } from 'node:events';
import { destination, type Logger, type LoggerOptions, pino, stdSerializers } from 'pino';
import type { Events } from './core/events.ts';

/** JSON lines on standard output, written without blocking; `close` before the process ends, or the last ones are lost. */
export function openLogger(level: NonNullable<LoggerOptions['level']>): { logger: Logger; close: () => Promise<void> } {
  const output = destination({ dest: 1, sync: false });
  const logger = pino(
    { level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"`, formatters: { level: (label) => ({ level: label }) } },
    output,
  );
  return {
    logger,
    async close() {
      const closed = once(output, 'close');
      output.end();
      await closed;
    },
  };
}

/** One line for each attempt and each turn of the account. Never a body, an address of a recipient, a secret or a certificate. */
export function logEvents(events: Events, logger: Logger): void {
  events.on('message.attempted', (delivery, attempt, { server, fault, accepted, refused }) => {
    const line = {
      request_id: delivery.requestId,
      message_id: delivery.id,
      attempt: attempt.number,
      account: attempt.account,
      server,
      duration_ms: (attempt.endedAt ?? attempt.startedAt) - attempt.startedAt,
      accepted: accepted.length,
      refused: refused.length,
      smtp_code: attempt.smtp?.code,
      smtp_enhanced: attempt.smtp?.enhanced,
    };
    if (fault) logger.warn({ ...line, code: fault.error.code, certain: fault.certain, retryable: fault.retryable }, 'attempt failed');
    else logger.info(line, 'attempt accepted');
  });
  events.on('account.paused', (account, { code, detail, hint }, untilAt) => {
    logger.error({ account, code, detail, hint, until: new Date(untilAt).toISOString() }, 'account paused');
  });
  events.on('account.resumed', (account) => {
    logger.info({ account }, 'account resumed');
  });
  events.on('lane.failed', (messageId, error) => {
    logger.error({ message_id: messageId, err: error instanceof Error ? stdSerializers.err(error) : error }, 'lane failed');
  });
}
