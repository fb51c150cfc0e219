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

/** Gmail takes no more in one message. */
export const MAX_RECIPIENTS = 100;

/** Turns a text into what `parse` makes of it, or an AddressError into a field error. */
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

const EMAIL = { description: 'A bare address.', examples: ['ada@example.com'] };

export const email = parsed(parseEmail).meta(EMAIL);

/** The same without an example: Swagger UI would put it into the form of a parameter. */
export const bareAddress = parsed(parseEmail).meta({ description: EMAIL.description });

/** The two forms of a mailbox: a text and an object. */
function formsOf(read: typeof parseAddress, readEmail: typeof parseEmail) {
  const text = parsed(read).meta({
    description: 'One address, with or without a name before it.',
    examples: ['Ada <ada@example.com>'],
  });
  const object = strictObject({
    email: parsed(readEmail).meta(EMAIL),
    name: optional(parsed(parseDisplayName)).meta({
      description: 'Shown in place of the address.',
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

export const mailbox = z
  .union(formsOf(parseAddress, parseEmail), { error: mustBe('one address') })
  .meta({ description: 'A mailbox, as a string or as an object.', examples: ['Ada <ada@example.com>'] });

/** A mailbox, which says more where it is none: Gmail refuses a From of several addresses (550 5.7.1), which RFC 5322 allows. */
export const sender = mailbox.clone(
  {
    ...mailbox.def,
    options: formsOf(aloneInFrom(parseAddress), aloneInFrom(parseEmail)),
    error: mustBe('one address, since Gmail takes one From'),
  },
  // In the OpenAPI document it is the mailbox.
  { parent: true },
);

function aloneInFrom<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof AddressError) || text.length > MAX_SEARCHED || !hasSeveralAddresses(text))
        throw error;
      throw new AddressError(
        'There is more than one address, and Gmail takes one From: keep one, and put the others in reply_to.',
      );
    }
  };
}

/** Longer texts are not searched: they are refused as too long. */
const MAX_SEARCHED = 2000;

export const mailboxes = z
  .union([mailbox, z.array(mailbox).max(MAX_RECIPIENTS)], {
    error: ({ input }) =>
      input === undefined
        ? undefined
        : 'Must be an address such as "Ada <ada@example.com>", an object with email and name, or a list of these.',
  })
  .transform((value): readonly Address[] => (Array.isArray(value) ? value : [value]));

/** What Gmail takes of one header, in bytes, save To, Cc and References: https://support.google.com/a/answer/14016360. */
const MAX_HEADER_BYTES = 32 * 1024;

export const replyTo = mailboxes.refine(
  (list) => list.reduce((sum, address) => sum + encodedLength(address), 0) <= MAX_HEADER_BYTES,
  {
    error: `The addresses make a header of more than ${MAX_HEADER_BYTES} bytes, which Gmail refuses: give fewer.`,
    params: { code: 'too_long' },
  },
);

/** At most: base64 grows by a third, and each encoded word (RFC 2047) has 15 bytes around up to 45 of it. */
function encodedLength({ email, name }: Address): number {
  const separators = 8;
  return Buffer.byteLength(email) + separators + Buffer.byteLength(name ?? '') * 2;
}
