import { z } from 'zod';
import { AddressError, hasControlCharacters, parseEmail } from '../../core/message/address.ts';
import { optional } from '../validation/leniency.ts';
import { strictObject } from '../validation/validation.ts';
import { parsed } from './mailbox.ts';
import { line } from './text.ts';

/** Bounds the cost of parsing. */
const MAX_URL_LENGTH = 2000;
/**
 * A URL cannot be folded. Encoded, with angle brackets, a blank before and a comma after it, it
 * must fit on one line of 998 octets (RFC 5322, section 2.1.1).
 */
const MAX_ENCODED_URL_LENGTH = 994;
const MAX_MAILTO_LENGTH = 900;

const httpsUrl = line(MAX_URL_LENGTH)
  .refine((text) => /^https:\/\//i.test(text) && URL.canParse(text), {
    error: 'Must be a complete https:// URL.',
    params: { code: 'invalid_url' },
  })
  .transform((text) => new URL(text).href)
  .refine(({ length }) => length <= MAX_ENCODED_URL_LENGTH, {
    error: `Must have at most ${MAX_ENCODED_URL_LENGTH} characters once it is percent-encoded: shorten it.`,
    params: { code: 'too_long' },
  });

/**
 * Parses the target of an unsubscribe email: an address, optionally followed by the query of a
 * mailto URL, such as `leave@acme.com?subject=leave`. Both can also be a mailto URL, whose address
 * is percent-encoded.
 *
 * @throws {AddressError} if the text is neither
 */
function parseTarget(text: string): string {
  const isUrl = /^mailto:/i.test(text);
  // A local part can contain a question mark, which a URL encodes.
  const [, address = '', written = ''] =
    (isUrl ? /^mailto:([^?]*)\??(.*)$/is : /^([^@]*@?[^?]*)\??(.*)$/s).exec(text) ?? [];
  const email = parseEmail(isUrl ? decode(address) : address);
  if (hasControlCharacters(written))
    throw new AddressError('The query contains a control character, such as a line break: remove it.');
  const query = written === '' ? '' : `?${encodeQuery(written)}`;
  if (encodeURIComponent(email).length + query.length > MAX_MAILTO_LENGTH) {
    throw new AddressError(
      `The address with its query is longer than ${MAX_MAILTO_LENGTH} characters: shorten it.`,
    );
  }
  return email + query;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new AddressError(
      'The address is not percent-encoded as in a mailto: URL: write it without "mailto:".',
    );
  }
}

/**
 * Encodes characters that RFC 6068, section 2, does not allow in a query. Existing escapes stay.
 */
function encodeQuery(query: string): string {
  return query.replace(/%(?![\da-f]{2})|[^\w.!$'*+;:@/&=%~-]/giu, encodeURIComponent);
}

export const unsubscribe = strictObject({
  url: optional(httpsUrl).meta({ examples: ['https://acme.com/unsubscribe/42'] }),
  email: optional(parsed(parseTarget)).meta({
    description: 'An address, optionally with a query as in a mailto: URL.',
    examples: ['unsubscribe@acme.com?subject=unsubscribe'],
  }),
  one_click: optional(z.boolean()).meta({
    description: 'Whether a POST to `url` unsubscribes without confirmation (RFC 8058).',
  }),
}).superRefine(({ url, email, one_click }, context) => {
  const refuse = (path: string[], message: string) =>
    context.addIssue({ code: 'custom', path, message, params: { code: 'required' } });
  if (url === undefined && email === undefined) refuse([], 'Set url, email or both.');
  if (url === undefined && one_click) refuse(['one_click'], 'one_click needs a URL to post to: set url.');
});
