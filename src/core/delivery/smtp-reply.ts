import type { SmtpReply } from './delivery.ts';
import { toOneLine } from './one-line.ts';

/** Text after this is ignored: nodemailer accepts replies of up to a megabyte. */
const MAX_INPUT = 16_384;

const REPLY_LINE = /^([2-5]\d\d)(?:[ -]|$)/;
const ENHANCED = /^([245]\.\d{1,3}\.\d{1,3})(?:\s|$)/;

/**
 * Parses a reply as nodemailer returns it: lines joined by LF, each with its code, wrapped
 * anywhere.
 *
 * @returns `response` is the text without codes, on one line of at most 1,000 characters, without
 *   control characters and without the token in Gmail's sign-in URL. `code` is 0 if the input is
 *   not an SMTP reply.
 */
export function parseReply(response: string): SmtpReply {
  const lines = response.slice(0, MAX_INPUT).split(/\r\n|\r|\n/);
  const code = Number(REPLY_LINE.exec(lines[0] ?? '')?.[1] ?? 0);
  let enhanced: string | null = null;
  const texts = lines.map((line) => {
    const text = line.replace(REPLY_LINE, '');
    enhanced ??= ENHANCED.exec(text)?.[1] ?? null;
    return text.replace(ENHANCED, '');
  });
  return { code, enhanced, response: toOneLine(texts) };
}
