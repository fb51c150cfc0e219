import type { AccountStatus } from '../../core/accounts/account-status.ts';
import type { LimitStatus } from '../../core/quota.ts';
import { toIso, toIsoOrNull } from '../../core/time.ts';
import type { AccountResource } from '../schemas/account.ts';

/** The resource of a sending account. */
export function toAccountResource({
  user,
  pause,
  quota,
  connections,
  mailbox,
}: AccountStatus): AccountResource {
  return {
    user,
    status: pause ? 'paused' : 'ready',
    code: pause?.error.code ?? null,
    detail: pause?.error.detail ?? null,
    hint: pause?.error.hint ?? null,
    smtp: pause?.error.smtp ?? null,
    since: toIsoOrNull(pause?.since ?? null),
    until: toIsoOrNull(pause?.until ?? null),
    quota: {
      messages: toBudget(quota.messages),
      recipients: toBudget(quota.recipients),
      reserve: quota.reserve,
      counted_since: toIso(quota.countedSince),
      frees_at: toIsoOrNull(quota.freesAt),
    },
    connections: { ...connections },
    mailbox: { ...mailbox },
  };
}

function toBudget({ limit, learned, used }: LimitStatus): AccountResource['quota']['messages'] {
  return { limit, learned, used, left: Math.max(0, (learned ?? limit) - used) };
}
