import type { SmtpReply } from '../../../core/delivery/delivery.ts';

/** A reply longer than this is cut for display. */
const MAX_RESPONSE = 1000;
/** Nothing past this is looked at: nodemailer takes a reply of up to a megabyte. */
const MAX_INPUT = 16_384;

const REPLY_LINE = /^([2-5]\d\d)(?:[ -]|$)/;
const ENHANCED = /^([245]\.\d{1,3}\.\d{1,3})(?:\s|$)/;

// Gmail breaks its replies in mid-URL: once the lines are joined, there may be a blank after any character of the host.
const SIGN_IN_HOST = [...'https://accounts.google.com/']
  .map((character) => `${character.replace('.', '\\.')} ?`)
  .join('');
const SIGN_IN_URL = new RegExp(`<?${SIGN_IN_HOST}.*?(?:>|(?= Please\\b)|$)`, 'gi');
// Sendmail and its kin quote a command that they refuse, and this one carries the password.
const QUOTED_LOGIN = /\b(AUTH (?:PLAIN|LOGIN|XOAUTH2)) .*/i;

/**
 * Reads a reply as nodemailer hands it over: its lines joined by LF, each still with its code, wrapped in mid-phrase.
 *
 * `response` is the text alone on one line, at most 1,000 characters, without control characters and without the token that Gmail puts
 * into its sign-in URL. `code` is 0 for what is not an SMTP reply at all.
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

/** Foreign text made fit to show: on one line, bounded, without control characters and secrets. Blanks inside a line stay as they are. */
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
