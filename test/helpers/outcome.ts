import type { Fault, Outcome } from '../../src/core/delivery/outcome.ts';
import type { ErrorCode } from '../../src/core/errors.ts';

const REPLY = { code: 250, enhanced: '2.0.0', response: 'OK 1722933305 abc - gsmtp' };

/** A fault as classify() returns it, with the patch of the test. */
export function aFault(code: ErrorCode, patch: Partial<Omit<Fault, 'error'>> = {}): Fault {
  return {
    error: {
      code,
      scope: patch.scope === 'account' ? 'account' : 'message',
      detail: `${code} happened.`,
      hint: 'Fix it.',
      smtp: { code: 450, enhanced: null, response: code },
    },
    scope: 'message',
    retryable: true,
    backoffMs: null,
    certain: true,
    ...patch,
  };
}

/** The server accepted the message for some recipients, and may have refused others. */
export function anAcceptance(accepted: readonly string[], refused: Outcome['refused'] = []): Outcome {
  return { accepted, refused, reply: REPLY, fault: null, server: 'localhost:587' };
}

/** The attempt failed as a whole. */
export function aFailure(fault: Fault, refused: Outcome['refused'] = []): Outcome {
  return { accepted: [], refused, reply: fault.error.smtp, fault, server: 'localhost:587' };
}
