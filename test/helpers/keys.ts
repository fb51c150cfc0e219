import { createHash } from 'node:crypto';
import { DEFAULT_SCOPES, UNRESTRICTED } from '../../src/config/api-key-config.ts';
import type { ApiKey, Caller } from '../../src/core/auth/caller.ts';

/** A caller without restrictions, with the patch of the test. */
export function aCaller(patch: Partial<Caller> = {}): Caller {
  return { ...UNRESTRICTED, name: 'crm', scopes: DEFAULT_SCOPES, ...patch };
}

export function aKey(secret: string, patch: Partial<ApiKey> = {}): ApiKey {
  return {
    ...aCaller(),
    webhookSecrets: null,
    ...patch,
    digest: createHash('sha256').update(secret).digest(),
  };
}
