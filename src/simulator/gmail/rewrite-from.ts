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

/** Returns the message as Gmail files it with another address in From. */
export function replaceFrom(raw: string, address: string): string {
  const { field, name, value } = findFrom(raw);
  if (field === '') return `From: ${address}\r\n${raw}`;
  const replaced = `${name}: ${value.replace(addressIn(value), () => address)}`;
  return raw.replace(field, () => `${replaced}\r\nX-Google-Original-From: ${value}`);
}

/** Returns the address in the From header; empty if there is none. */
function fromAddress(raw: string): string {
  return addressIn(findFrom(raw).value);
}

function findFrom(raw: string): { readonly field: string; readonly name: string; readonly value: string } {
  const [head = ''] = raw.split('\r\n\r\n', 1);
  const [field = '', name = '', value = ''] = /^(from):(.*(?:\r\n[ \t].*)*)/im.exec(head) ?? [];
  return { field, name, value: value.trim() };
}

function addressIn(value: string): string {
  return /<([^<>]*)>$/.exec(value)?.[1] ?? value;
}
