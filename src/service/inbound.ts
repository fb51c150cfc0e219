import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { createInboundRecorder, type InboundRecorderDeps } from '../core/inbound/inbound-recorder.ts';
import { createMailHandler, type MailHandler } from '../core/inbound/mail-handler.ts';
import { type SentIndexWriter, startSentIndexWriter } from '../core/inbound/sent-index-writer.ts';
import type { Backend } from '../core/ports/backend.ts';

export interface InboundOptions extends Pick<InboundRecorderDeps, 'changes' | 'suppressions' | 'events'> {
  readonly config: Pick<Config, 'mailbox'>;
  readonly logger: Logger;
  readonly backend: Pick<Backend, 'store' | 'sentIndex'>;
}

/** What records the bounces and the replies in the inboxes. */
export interface Inbound {
  readonly handler: MailHandler;
  readonly sentIndexWriter: SentIndexWriter;
}

/** Returns null if INBOUND is off. */
export function openInbound({ config, logger, backend, ...deps }: InboundOptions): Inbound | null {
  if (config.mailbox.inbound === 'off') return null;
  const { store, sentIndex } = backend;
  const recorder = createInboundRecorder({ store, sentIndex, ...deps });
  return {
    handler: createMailHandler({ store, sentIndex, recorder }),
    sentIndexWriter: startSentIndexWriter({
      events: deps.events,
      sentIndex,
      onError: (err) => logger.error({ err }, 'sent messages could not be added to the index'),
    }),
  };
}
