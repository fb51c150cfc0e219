/**
 * Gmail silently replaces the address in From with the login's address, unless it is the login's
 * own or a verified alias.
 *
 * @param raw the message
 * @returns the address that Gmail would write into From; null if it keeps From
 */
export function rewrittenFrom(raw: string, user: string, aliases: readonly string[]): string | null {
  const from = fromAddress(raw).toLowerCase();
  return [user, ...aliases].some((own) => own.toLowerCase() === from) ? null : user;
}

/** Returns the address in the From header; empty if there is none. */
function fromAddress(raw: string): string {
  const [head = ''] = raw.split('\r\n\r\n', 1);
  const value = /^from:(.*(?:\r\n[ \t].*)*)/im.exec(head)?.[1]?.trim() ?? '';
  return /<([^<>]*)>$/.exec(value)?.[1] ?? value;
}
