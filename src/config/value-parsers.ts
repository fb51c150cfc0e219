import { isIP, isIPv4, isIPv6 } from 'node:net';
import { AddressError, parseEmail } from '../core/message/address.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../core/time.ts';

/**
 * A value that cannot be used. The message says how to write it and never repeats it: it may be a
 * secret in the wrong place.
 */
export class InvalidValue extends Error {
  override readonly name = 'InvalidValue';
}

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: SECOND,
  m: MINUTE,
  h: HOUR,
  d: DAY,
};
/** Node's timers run for at most 2^31 ms, 24.8 days. A longer timer fires at once. */
const MAX_DURATION_MS = 24 * DAY;
const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 };

/** Parses `250ms`, `30s`, `5m`, `24h` or `7d` into ms. */
export function parseDuration(text: string): number {
  const ms = parseQuantity(text, DURATION_UNITS);
  if (ms === null)
    throw new InvalidValue('It must be a whole number with its unit, such as 250ms, 30s, 5m, 24h or 7d.');
  if (ms > MAX_DURATION_MS) throw new InvalidValue('It must be at most 24d.');
  return ms;
}

/** Like {@link parseDuration}, but refuses zero. */
export function parsePositiveDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms === 0) throw new InvalidValue('It must be more than zero, such as 30s.');
  return ms;
}

/** Parses `35882577`, `256kb`, `25mb` or `1gb` into bytes, from 1 to `max`. A kb is 1024 bytes. */
export function parseSize(text: string, max = Number.MAX_SAFE_INTEGER): number {
  const bytes = parseQuantity(text, SIZE_UNITS);
  if (bytes === null)
    throw new InvalidValue('It must be a size such as 256kb, 25mb or 1gb, or a number of bytes.');
  if (bytes < 1 || bytes > max) throw new InvalidValue(`It must be from 1 to ${max} bytes.`);
  return bytes;
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | null {
  const [, digits, unit = ''] = /^(\d{1,16})([a-z]*)$/.exec(text.toLowerCase()) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  return digits === undefined || factor === undefined ? null : Number(digits) * factor;
}

/** Parses a decimal number without sign or fraction, from `min` to `max`. */
export function parseWholeNumber(text: string, min: number, max: number): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number >= min && number <= max))
    throw new InvalidValue(`It must be a whole number from ${min} to ${max}.`);
  return number;
}

/** Parses messages per second, such as `20` or `0.5`: more than 0, at most 1000. */
export function parsePerSecond(text: string): number {
  const rate = /^\d{1,4}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (!(rate > 0 && rate <= 1000))
    throw new InvalidValue(
      'It must be a number of messages per second, above 0 and up to 1000, such as 20 or 0.5.',
    );
  return rate;
}

/** Parses `10%` or `12.5%`, from 0% to `max`, into a share of 1. */
export function parsePercentage(text: string, max: number): number {
  const [, digits] = /^(\d{1,3}(?:\.\d{1,6})?)%$/.exec(text) ?? [];
  const percent = Number(digits ?? Number.NaN);
  if (!(percent <= max))
    throw new InvalidValue(`It must be a percentage from 0% to ${max}%, such as 10% or 12.5%.`);
  return percent / 100;
}

/** Parses one of a few words, in lower case. */
export function parseChoice<const T extends string>(text: string, choices: readonly T[]): T {
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined) throw new InvalidValue(`It must be one of ${choices.join(', ')}.`);
  return choice;
}

/** Parses a rate such as `600/1m`: a maximum number, and the window it applies to. */
export function parseRate(text: string): { max: number; windowMs: number } {
  const [, max, window] = /^([^/]+)\/([^/]+)$/.exec(text) ?? [];
  if (max === undefined || window === undefined)
    throw new InvalidValue('It must be a number and a time window, such as 600/1m.');
  return { max: parseWholeNumber(max, 1, 1_000_000), windowMs: parsePositiveDuration(window) };
}

/** Parses an IP address (IPv6 without brackets) or a host name. */
export function parseHost(text: string): string {
  if (!isHost(text))
    throw new InvalidValue('It must be an IP address (IPv6 without brackets) or a host name.');
  return text;
}

export function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/i.test(text);
}

/**
 * Parses a name for EHLO (RFC 5321, 4.1.1.1): a fully qualified host name, or an address literal
 * such as `[192.0.2.1]`.
 */
export function parseEhloName(text: string): string {
  const [, v6, v4] = /^\[(?:IPv6:(.*)|(.*))\]$/i.exec(text) ?? [];
  if ((v6 !== undefined && isIPv6(v6)) || (v4 !== undefined && isIPv4(v4))) return text;
  return parseDomain(
    text,
    () =>
      'It must be a fully qualified host name, such as mail.example.com, or an address literal: [192.0.2.1] or [IPv6:2001:db8::1].',
  );
}

/** Parses a domain into its canonical form: A-labels in lower case. */
export function parseDomain(text: string, describe: (reason: string) => string): string {
  return parseEmailSetting(`x@${text}`, describe).slice('x@'.length);
}

/** Parses a comma-separated list of IP addresses and CIDRs. */
export function parseProxies(text: string): string[] {
  const entries = splitList(text);
  if (!entries.every(isAddressOrCidr)) {
    throw new InvalidValue(
      'It must list the proxies by IP address or CIDR, such as 10.0.0.5,192.168.0.0/16. Values that trust any client, such as true, a number of ' +
        'hops or 0.0.0.0/0, are refused: clients could then choose the address that they are rate-limited by. Leave it unset if there is no proxy.',
    );
  }
  return entries;
}

function isAddressOrCidr(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  if (prefix === undefined) return true;
  const bits = /^\d{1,3}$/.test(prefix) ? Number(prefix) : 0;
  return bits >= 1 && bits <= (version === 4 ? 32 : 128);
}

/**
 * Parses an email address.
 *
 * @param describe Returns the error message for a reason.
 */
export function parseEmailSetting(text: string, describe: (reason: string) => string): string {
  try {
    return parseEmail(text);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw new InvalidValue(describe(error.reason));
  }
}

/** Splits at commas and line ends, trims the parts and drops empty ones. */
export function splitList(text: string): string[] {
  return text
    .split(/[,\n]/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
