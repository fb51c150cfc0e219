/** The Workspace relay, smtp-relay.gmail.com, which knows its clients by their IP address. */
import type { ReplyName } from './replies.ts';

export interface RelaySettings {
  /** Domains of the Workspace. Senders in other domains are refused. */
  readonly domains: readonly string[];
  /** Whether the clients' IP address is on the allow-list. Others need a login. */
  readonly allowed: boolean;
}

/** Returns the reply that refuses a sender; null accepts it. */
export function relayRefusal(
  { domains, allowed }: RelaySettings,
  sender: string,
  isLoggedIn: boolean,
): ReplyName | null {
  if (!allowed && !isLoggedIn) return 'relayInvalidCredentials';
  return domains.includes(domainOf(sender)) ? null : 'relayDenied';
}

/** Whether the relay accepts this name in EHLO: a host name with a dot. */
export function isRelayClientName(name: string): boolean {
  return /^[^.[\]]+(?:\.[^.[\]]+)+$/.test(name);
}

export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1).toLowerCase();
}
