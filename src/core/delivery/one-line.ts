/** Longer texts are cut for display. */
const MAX_LENGTH = 1000;
const MAX_SENTENCE = 400;

// Gmail wraps replies inside URLs: once lines are joined, any character of the host may be followed
// by a blank.
const SIGN_IN_HOST = [...'https://accounts.google.com/']
  .map((character) => `${character.replace('.', '\\.')} ?`)
  .join('');
const SIGN_IN_URL = new RegExp(`<?${SIGN_IN_HOST}.*?(?:>|(?= Please\\b)|$)`, 'gi');
// Sendmail and others quote the command that they refuse, and this one contains the password.
const QUOTED_LOGIN = /\b(AUTH (?:PLAIN|LOGIN|XOAUTH2)) .*/i;

/**
 * Makes text from a server safe to display: one line of at most 1,000 characters, without control
 * characters and secrets. Blanks inside a line are kept.
 */
export function toOneLine(lines: readonly string[]): string {
  const joined = lines
    .map((line) => line.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ').trim())
    .filter(Boolean)
    .join(' ');
  const redacted = joined
    .replace(SIGN_IN_URL, 'https://accounts.google.com/[redacted]')
    .replace(QUOTED_LOGIN, '$1 [redacted]');
  return redacted.slice(0, MAX_LENGTH).toWellFormed();
}

/** Ends a text with a full stop, or cuts it at 400 characters. */
export function toSentence(text: string): string {
  if (text.length > MAX_SENTENCE) return `${text.slice(0, MAX_SENTENCE).toWellFormed()}…`;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
