import type { SmtpReply } from './delivery.ts';

/** Longer replies are cut for display. */
const MAX_RESPONSE = 1000;
/** Text after this is ignored: nodemailer accepts replies of up to a megabyte. */
const MAX_INPUT = 16_384;

const REPLY_LINE = /^([2-5]\d\d)(?:[ -]|$)/;
const ENHANCED = /^([245]\.\d{1,3}\.\d{1,3})(?:\s|$)/;

// Gmail wraps replies inside URLs: once lines are joined, any character of the host may be followed
// by a blank.
const SIGN_IN_HOST = [...'https://accounts.google.com/']
  .map((character) => `${character.replace('.', '\\.')} ?`)
  .join('');
const SIGN_IN_URL = new RegExp(`<?${SIGN_IN_HOST}.*?(?:>|(?= Please\\b)|$)`, 'gi');
// Sendmail and others quote the command that they refuse, and this one contains the password.
const QUOTED_LOGIN = /\b(AUTH (?:PLAIN|LOGIN|XOAUTH2)) .*/i;

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

/**
 * Makes text from a server safe to display: one line of at most 1,000 characters, without control
 * characters and secrets. Blanks inside a line are kept.
 */
export function toOneLine(lines: readonly string[]): string {
  const joined = lines
    .map((line) => line.replace(/\p{Cc}/gu, ' ').trim())
    .filter(Boolean)
    .join(' ');
  const redacted = joined
    .replace(SIGN_IN_URL, 'https://accounts.google.com/[redacted]')
    .replace(QUOTED_LOGIN, '$1 [redacted]');
  return redacted.slice(0, MAX_RESPONSE).toWellFormed();
}
