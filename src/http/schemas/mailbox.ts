import { z } from 'zod';
import { AddressError, parseAddress, parseDisplayName, parseEmail } from '../../core/address.ts';
import type { Address } from '../../core/message.ts';
import { strictObject } from '../fields.ts';

/** Gmail takes no more in one message. */
export const MAX_RECIPIENTS = 100;

/** Turns a text into what `parse` makes of it, or an AddressError into a field error. */
function parsed<T>(parse: (text: string) => T) {
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

export const email = parsed(parseEmail).meta({ description: 'A bare address.', examples: ['ada@example.com'] });

const mailboxText = parsed(parseAddress).meta({
  description: 'One address, with or without a name before it.',
  examples: ['Ada <ada@example.com>'],
});

const mailboxObject = strictObject({
  email,
  name: parsed(parseDisplayName)
    .nullable()
    .optional()
    .meta({ description: 'Shown in place of the address.', examples: ['Ada'] }),
}).transform((mailbox): Address => ({ email: mailbox.email, name: mailbox.name || null }));

export const mailbox = z
  .union([mailboxText, mailboxObject], {
    error: ({ input }) =>
      input === undefined ? undefined : 'Must be one address: a string such as "Ada <ada@example.com>", or an object with email and name.',
  })
  .meta({ description: 'A mailbox, as a string or as an object.', examples: ['Ada <ada@example.com>'] });

export const mailboxes = z
  .union([mailbox, z.array(mailbox).max(MAX_RECIPIENTS)], {
    error: ({ input }) =>
      input === undefined
        ? undefined
        : 'Must be an address such as "Ada <ada@example.com>", an object with email and name, or a list of these.',
  })
  .transform((value): readonly Address[] => (Array.isArray(value) ? value : [value]));
