import { expect, vi } from 'vitest';
import { aReport, OUR_ID } from '../inbound-mail.ts';
import type { ServiceSetup, ServiceUnderTest } from '../service.ts';
import { startWithGmail, type WithGmail } from '../smtp/gmail.ts';

let reports = 0;

/** A report of Gmail about a message to ada@example.com. */
export function reportAbout(messageId: string, parts: Parameters<typeof aReport>[0] = {}): string {
  reports += 1;
  return aReport(parts)
    .replaceAll(OUR_ID, messageId)
    .replace(/^Message-ID: .*$/m, `Message-ID: <${reports}@mx.google.com>`);
}

/** Long enough for a loaded machine. */
export const WAIT = { timeout: 20_000, interval: 20 };

/** Starts the service with INBOUND=replies and its simulator, whose inbox it watches. */
export async function startInbound({ env, ...setup }: Pick<ServiceSetup, 'env' | 'backoffScale'> = {}) {
  const app = await startWithGmail({ ...setup, imap: true, env: { INBOUND: 'replies', ...env } });
  await watched(app);
  return app;
}

/** Resolves when the inbox has been read to its end, and is watched. */
export async function watched({ gmail }: Pick<WithGmail, 'gmail'>): Promise<void> {
  await gmail.waitFor(({ imap }) => imap.idleSessions === 1);
}

/** Resolves with the message once it has this number of follow-ups. */
export async function followed(service: ServiceUnderTest, id: string, count = 1) {
  return vi.waitFor(async () => {
    const message = await service.get(id);
    expect(message.follow_ups).toHaveLength(count);
    return message;
  }, WAIT);
}
