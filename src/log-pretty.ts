import type { styleText } from 'node:util';

/** Colors text, or returns it as it is. */
export type Style = (format: Parameters<typeof styleText>[0], text: string) => string;

const LEVELS: Readonly<Record<string, { sign: string; color: Parameters<Style>[0] }>> = {
  trace: { sign: '·', color: 'gray' },
  debug: { sign: '·', color: 'gray' },
  info: { sign: '●', color: 'green' },
  warn: { sign: '▲', color: 'yellow' },
  error: { sign: '✖', color: 'red' },
  fatal: { sign: '✖', color: ['red', 'bold'] },
};

/** Aligns the lines that continue an entry with its message. See log-output.ts for its first space. */
const INDENT = ' '.repeat('00:00:00.000 ● '.length);

/**
 * Returns a function that turns a JSON line of pino into text for a terminal:
 *
 *     10:53:31.157 ✖ account paused  tls_failed  account=bot@acme.com until=2026-11-30T10:54:31.157Z
 *                    The server's certificate is not trusted (CERT_HAS_EXPIRED).
 *                    Check whether something intercepts TLS …
 *
 * An entry is one line. `detail`, `hint` and the stack of `err` follow, indented. Times are local.
 * Characters that a terminal interprets are escaped, so no value can move the cursor or imitate an
 * entry.
 */
export function createPrettyFormat(style: Style): (line: string) => string {
  return (line) => {
    const { level, time, msg, code, url, detail, hint, err, ...fields } = JSON.parse(line);
    const { sign, color } = LEVELS[level] ?? { sign: '?', color: 'gray' };
    const rest = { ...fields, ...(isObject(err) ? withoutStack(err) : { err }) };
    const pairs = toPairs(rest);
    const first = [
      `${style('gray', toLocalTime(time))} ${style(color, sign)} ${style('bold', toText(msg ?? ''))}`,
      code === undefined ? '' : style('yellow', toText(code)),
      url === undefined ? '' : style('cyan', toText(url)),
      pairs === '' ? '' : style('gray', pairs),
    ];
    const more = [
      ...(detail === undefined ? [] : [toText(detail)]),
      ...(hint === undefined ? [] : [style('cyan', toText(hint))]),
      ...stackLines(err).map((text) => style('gray', toText(text))),
    ];
    return [first.filter(Boolean).join('  '), ...more.map((text) => INDENT + text)].join('\n').concat('\n');
  };
}

function toLocalTime(time: string): string {
  const at = new Date(time);
  const pad = (value: number, length = 2) => String(value).padStart(length, '0');
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${pad(at.getMilliseconds(), 3)}`;
}

function toPairs(fields: Record<string, unknown>): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${toText(name)}=${toValue(value)}`)
    .join(' ');
}

/** Quotes what could be taken for several fields. */
function toValue(value: unknown): string {
  if (Array.isArray(value) && value.length > 0 && value.every(isPlain)) return toText(value.join(','));
  return toText(isPlain(value) ? value : JSON.stringify(value));
}

function isPlain(value: unknown): value is string | number | boolean {
  if (typeof value !== 'string') return typeof value === 'number' || typeof value === 'boolean';
  return /^[^\s"=,[\]{}]+$/u.test(value);
}

/** Control and format characters, such as those that change the direction of text, and line ends. */
const INTERPRETED = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

function toText(value: unknown): string {
  return String(value).replace(
    INTERPRETED,
    (character) => `\\u{${character.codePointAt(0)?.toString(16).padStart(2, '0')}}`,
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function withoutStack({ type: _type, message: _message, stack: _stack, ...rest }: Record<string, unknown>) {
  return rest;
}

/** Returns the stack of an error below its type and message, which a stack may lack. */
function stackLines(err: unknown): string[] {
  if (!isObject(err)) return [];
  const { type, message, stack } = err;
  const heading = [type, message].filter((part) => typeof part === 'string').join(': ');
  const lines = typeof stack === 'string' ? stack.split('\n').filter(Boolean) : [];
  return lines[0] === undefined || /^\s+at /.test(lines[0]) ? [heading, ...lines] : lines;
}
