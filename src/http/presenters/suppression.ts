import type { Suppression } from '../../core/ports/suppression-store.ts';
import { toIso } from '../../core/time.ts';
import type { SuppressionResource } from '../schemas/suppression.ts';

/** The resource of a suppressed address. */
export function toSuppressionResource({
  email,
  reason,
  accounts,
  smtp,
  messageId,
  note,
  createdAt,
}: Suppression): SuppressionResource {
  return {
    email,
    reason,
    accounts: accounts && [...accounts],
    smtp,
    message: messageId,
    note,
    created_at: toIso(createdAt),
  };
}
