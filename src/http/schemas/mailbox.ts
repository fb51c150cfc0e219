import { z } from 'zod';
import {
  type Address,
  AddressError,
  hasSeveralAddresses,
  parseAddress,
  parseDisplayName,
  parseEmail,
} from '../../core/message/address.ts';
import { optional } from '../validation/leniency.ts';
import { strictObject } from '../validation/validation.ts';

/** Gmail's limit for one message. */
export const MAX_RECIPIENTS = 100;

/** Parses a string with `parse`; an AddressError becomes a field error. */
export function parsed<T>(parse: (text: string) => T) {
  return z.string().transform((text, context) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      context.addIssue({ code: 'custom', message: error.reason, params: { code: 'invalid_address' } });
      return z.NEVER;
    }
  });
}

const EMAIL = { description: 'An address without a name.', examples: ['ada@example.com'] };

export const email = parsed(parseEmail).meta(EMAIL);

/** The same without an example, which Swagger UI would fill into a parameter. */
export const bareAddress = parsed(parseEmail).meta({ description: EMAIL.description });

/** The two forms of a mailbox: a string and an object. */
function formsOf(read: typeof parseAddress, readEmail: typeof parseEmail) {
  const text = parsed(read).meta({
    description: 'One address, optionally preceded by a name.',
    examples: ['Ada <ada@example.com>'],
  });
  const object = strictObject({
    email: parsed(readEmail).meta(EMAIL),
    name: optional(parsed(parseDisplayName)).meta({
      description: 'The name that mail programs display instead of the address.',
      examples: ['Ada'],
    }),
  }).transform((mailbox): Address => ({ email: mailbox.email, name: mailbox.name || null }));
  return [text, object] as const;
}

function mustBe(what: string) {
  return ({ input }: { readonly input?: unknown }) =>
    input === undefined
      ? undefined
      : `Must be ${what}: a string such as "Ada <ada@example.com>", or an object with email and name.`;
}

export const mailbox = z.union(formsOf(parseAddress, parseEmail), { error: mustBe('one address') }).meta({
  description: 'An email address, as a string or as an object.',
  examples: ['Ada <ada@example.com>'],
});

/**
 * A mailbox with more specific errors: Gmail refuses a From with several addresses (550 5.7.1),
 * which RFC 5322 allows.
 */
export const sender = mailbox.clone(
  {
    ...mailbox.def,
    options: formsOf(requireSingle(parseAddress), requireSingle(parseEmail)),
    error: mustBe('one address, since Gmail accepts only one From'),
  },
  // Documents it as a mailbox in OpenAPI.
  { parent: true },
);

function requireSingle<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof AddressError) || text.length > MAX_SEARCHED || !hasSeveralAddresses(text))
        throw error;
      throw new AddressError(
        'There is more than one address, but Gmail accepts only one From: keep one, and move the rest to reply_to.',
      );
    }
  };
}

/** Longer strings are not searched, since they are refused as too long. */
const MAX_SEARCHED = 2000;

export const mailboxes = z
  .union([mailbox, z.array(mailbox).max(MAX_RECIPIENTS)], {
    error: ({ input }) =>
      input === undefined
        ? undefined
        : 'Must be an address such as "Ada <ada@example.com>", an object with email and name, or a list of these.',
  })
  .transform((value): readonly Address[] => (Array.isArray(value) ? value : [value]))
  .meta({
    description: 'One mailbox, or a list of mailboxes.',
    examples: [['ada@example.com', { email: 'bob@example.com', name: 'Bob' }]],
  });

/**
 * Gmail's limit for one header except To, Cc and References, in bytes:
 * https://support.google.com/a/answer/14016360.
 */
const MAX_HEADER_BYTES = 32 * 1024;

export const replyTo = mailboxes.refine(
  (list) => list.reduce((sum, address) => sum + encodedLength(address), 0) <= MAX_HEADER_BYTES,
  {
    error: `The addresses exceed ${MAX_HEADER_BYTES} bytes, the size of a header that Gmail accepts: remove some.`,
    params: { code: 'too_long' },
  },
);

/**
 * An upper bound in bytes: base64 grows by a third, and each encoded word (RFC 2047) adds 15 bytes
 * to at most 45.
 */
function encodedLength({ email, name }: Address): number {
  const separators = 8;
  return Buffer.byteLength(email) + separators + Buffer.byteLength(name ?? '') * 2;
}
