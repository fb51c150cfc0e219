import { randomBytes } from 'node:crypto';
import type { Notice } from '../../src/core/ports/outbox.ts';

/** Returns a notice as core creates it, with the given fields replaced. */
export function aNotice(patch: Partial<Notice> = {}): Notice {
  return {
    id: `ntc_${randomBytes(16).toString('hex')}`,
    eventId: `evt_${randomBytes(16).toString('hex')}`,
    type: 'message.sent',
    about: 'msg_1',
    url: 'https://crm.test/hooks',
    body: '{"type":"message.sent"}',
    createdAt: 1,
    dueAt: 1,
    failures: 0,
    retriedForMs: 0,
    ...patch,
  };
}
