import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
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

/** What a valid ticket permits. */
export interface Permission {
  /** The API key that requested the ticket. */
  readonly caller: Caller;
  /** The text that was sealed in the ticket. */
  readonly sealed: string;
}

/**
 * Tickets to read one thing without an API key, for frames, which cannot send one.
 *
 * A ticket is encrypted with the digest of the API key that requested it. So every instance with
 * this key can verify it, a ticket ends with its key, and its URL does not reveal the sealed text.
 */
export interface Tickets {
  /**
   * @param subject What the ticket is for, such as the id of a message.
   * @param sealed A text that the URL carries, and that only the service can read.
   */
  issue(subject: string, caller: Caller, sealed?: string): Ticket;
  /** @throws {AppError} `invalid_ticket` */
  verify(subject: string, ticket: string): Permission;
}

const ALGORITHM = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** @param now epoch ms */
export function createTickets(keys: Pick<ApiKeys, 'get'>, now: () => number = Date.now): Tickets {
  /** An unknown key encrypts with random bytes, so no ticket is valid. */
  function secretOf(name: string): Buffer {
    const digest = keys.get(name)?.digest ?? randomBytes(32);
    return createHmac('sha256', digest).update('outtray ticket').digest();
  }

  function seal(text: string, bound: Buffer, name: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(ALGORITHM, secretOf(name), iv).setAAD(bound);
    const encrypted = [cipher.update(text, 'utf8'), cipher.final()];
    return Buffer.concat([iv, cipher.getAuthTag(), ...encrypted]).toString('base64url');
  }

  /** Returns null if anything was changed. */
  function open(sealed: Buffer, bound: Buffer, name: string): string | null {
    if (sealed.length < IV_BYTES + TAG_BYTES) return null;
    const [iv, rest] = [sealed.subarray(0, IV_BYTES), sealed.subarray(IV_BYTES)];
    const options = { authTagLength: TAG_BYTES };
    const decipher = createDecipheriv(ALGORITHM, secretOf(name), iv, options)
      .setAAD(bound)
      .setAuthTag(rest.subarray(0, TAG_BYTES));
    try {
      return decipher.update(rest.subarray(TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
    } catch {
      return null;
    }
  }

  return {
    issue(subject, { name }, sealed = '') {
      const expiresAt = now() + TICKET_MS;
      const bound = toBound(subject, String(expiresAt), name);
      return { ticket: `${expiresAt}.${seal(sealed, bound, name)}.${name}`, expiresAt };
    },
    verify(subject, ticket) {
      // The name of a key can contain dots.
      const [, expiresAt = '', box = '', name = ''] = /^(\d{1,15})\.([\w-]+)\.(.+)$/.exec(ticket) ?? [];
      const sealed = open(Buffer.from(box, 'base64url'), toBound(subject, expiresAt, name), name);
      const caller = keys.get(name);
      if (sealed === null || caller === null || Number(expiresAt) <= now())
        throw new AppError('invalid_ticket');
      return { caller, sealed };
    },
  };
}

/** What a ticket is bound to, besides the digest of its key. */
function toBound(subject: string, expiresAt: string, name: string): Buffer {
  return Buffer.from([subject, expiresAt, name].join('\n'));
}
