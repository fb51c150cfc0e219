import type { SmtpReply } from '../../src/core/delivery/delivery.ts';
import type { Suppression, SuppressionStore } from '../../src/core/ports/suppression-store.ts';

export const NO_SUCH_USER: SmtpReply = {
  code: 550,
  enhanced: '5.1.1',
  response: 'The email account that you tried to reach does not exist.',
};

/** A suppression after a refusal by Gmail, with the patch of the test. */
export function aSuppression(email: string, patch: Partial<Suppression> = {}): Suppression {
  return {
    email,
    reason: 'refused',
    accounts: ['bot@acme.com'],
    smtp: NO_SUCH_USER,
    messageId: 'msg_1',
    note: null,
    createdAt: Date.UTC(2027, 0, 1, 9),
    ...patch,
  };
}

/** Stores a suppression, in place of any other for the address. */
export async function put(store: SuppressionStore, suppression: Suppression): Promise<void> {
  const kept = await store.replace(await store.get(suppression.email), suppression);
  if (!kept) throw new Error('the stored suppression changed meanwhile');
}
