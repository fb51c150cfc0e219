/** The text forms of IMAP: strings, dates, mailbox names. */

/** Writes a string: quoted if it can be, otherwise a literal. */
export function quote(text: string): string {
  if (text.length < 1000 && /^[ -~]*$/.test(text)) return `"${text.replace(/["\\]/g, '\\$&')}"`;
  return literal(text);
}

export function literal(octets: string): string {
  return `{${octets.length}}\r\n${octets}`;
}

export function quoteOrNil(text: string | null): string {
  return text === null ? 'NIL' : quote(text);
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `01-Dec-2026 08:30:00 +0000` (RFC 3501, date-time). */
export function formatDateTime(epochMs: number): string {
  const iso = new Date(epochMs).toISOString();
  const month = MONTHS[Number(iso.slice(5, 7)) - 1];
  return `${iso.slice(8, 10)}-${month}-${iso.slice(0, 4)} ${iso.slice(11, 19)} +0000`;
}

/** Parses `1-Dec-2026`. Returns the start of that day in UTC, in epoch ms; null for other text. */
export function parseDate(text: string): number | null {
  const [, day, name, year] = /^"?(\d{1,2})-([a-z]{3})-(\d{4})"?$/i.exec(text) ?? [];
  const month = MONTHS.findIndex((each) => each.toLowerCase() === name?.toLowerCase());
  const date = new Date(Date.UTC(Number(year), month, Number(day)));
  // 31-Feb is no date.
  return month < 0 || date.getUTCDate() !== Number(day) ? null : date.getTime();
}

/** Encodes the name of a mailbox as modified UTF-7 (RFC 3501, section 5.1.3). */
export function encodeMailboxName(name: string): string {
  return name.replace(/&|[^ -~]+/g, (part) => {
    if (part === '&') return '&-';
    const base64 = Buffer.from(part, 'utf16le').swap16().toString('base64');
    return `&${base64.replace(/=+$/, '').replaceAll('/', ',')}-`;
  });
}
