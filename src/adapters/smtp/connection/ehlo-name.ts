import { hostname } from 'node:os';

/** The name for EHLO: this host's, if it is a dotted one, else the domain of the account. */
export function ehloName(user: string): string {
  const name = hostname();
  return /^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$/.test(name) ? name : user.slice(user.lastIndexOf('@') + 1);
}
