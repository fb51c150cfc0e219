import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { AppError } from '../errors.ts';
import type { ApiKeys } from './api-keys.ts';
import type { Caller } from './caller.ts';

/** Lifetime of a ticket, in ms. */
export const TICKET_MS = 60_000;

/** A ticket and when it expires, in epoch ms. */
export interface Ticket {
  readonly ticket: string;
  readonly expiresAt: number;
}

/**
 * Tickets to read the content of one message without an API key, for frames, which cannot send one.
 *
 * A ticket is signed with the digest of the API key that requested it. So every instance with this
 * key can verify it, and a ticket ends with its key.
 */
export interface ContentTickets {
  issue(messageId: string, caller: Caller): Ticket;
  /**
   * Returns the API key that requested the ticket.
   *
   * @throws {AppError} `invalid_ticket`
   */
  verify(messageId: string, ticket: string): Caller;
}

/** @param now epoch ms */
export function createContentTickets(
  keys: Pick<ApiKeys, 'get'>,
  now: () => number = Date.now,
): ContentTickets {
  /** An unknown key signs with random bytes, so no ticket is valid. */
  function sign(messageId: string, expiresAt: string, name: string): string {
    const secret = keys.get(name)?.digest ?? randomBytes(32);
    const signed = ['outtray content ticket', messageId, expiresAt, name].join('\n');
    return createHmac('sha256', secret).update(signed).digest('base64url');
  }

  return {
    issue(messageId, { name }) {
      const expiresAt = now() + TICKET_MS;
      return { ticket: `${expiresAt}.${sign(messageId, String(expiresAt), name)}.${name}`, expiresAt };
    },
    verify(messageId, ticket) {
      // The name of a key can contain dots.
      const [, expiresAt = '', signature = '', name = ''] = /^(\d{1,15})\.([\w-]+)\.(.+)$/.exec(ticket) ?? [];
      const isSigned = isEqual(signature, sign(messageId, expiresAt, name));
      const key = keys.get(name);
      if (!isSigned || key === null || Number(expiresAt) <= now()) throw new AppError('invalid_ticket');
      return key;
    },
  };
}

/** Compares in a time that depends only on the lengths. */
function isEqual(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
