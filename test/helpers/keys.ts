import { createHash } from 'node:crypto';
import type { ApiKey, Caller } from '../../src/core/caller.ts';

/** A caller that may send and read all it likes, with what the test cares about put over it. */
export function aCaller(patch: Partial<Caller> = {}): Caller {
  return {
    name: 'crm',
    scopes: ['send', 'read'],
    allowedFrom: null,
    allowedRecipients: null,
    rateLimit: null,
    dailyLimit: null,
    test: false,
    webhookUrl: null,
    ...patch,
  };
}

export function aKey(secret: string, patch: Partial<Caller> = {}): ApiKey {
  return { ...aCaller(patch), digest: createHash('sha256').update(secret).digest() };
}
