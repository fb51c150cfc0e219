import { isRecord } from '../validation/json-values.ts';
import { isAbsent } from '../validation/leniency.ts';

/**
 * Moves headers to the fields that POST /send has for them: threads and unsubscribe targets, which
 * Resend's API accepts as headers. Works on the body before validation. Headers that cannot be
 * moved stay, and are refused by name.
 */
export function liftHeaders(body: unknown): unknown {
  if (!isRecord(body) || !isRecord(body.headers)) return body;
  const headers = new Map(Object.entries(body.headers));
  const fields = new Map(Object.entries(body));

  for (const [field, names, read] of MOVED) {
    const found = [...headers.keys()].filter((name) => names.includes(name.toLowerCase()));
    const values = new Map(found.map((name) => [name.toLowerCase(), headers.get(name)]));
    const isAmbiguous = !isAbsent(fields.get(field)) || values.size < found.length;
    const value = isAmbiguous ? null : read(names.map((name) => values.get(name)));
    if (value === null) continue;
    fields.set(field, value);
    for (const name of found) headers.delete(name);
  }
  return Object.fromEntries([...fields, ['headers', Object.fromEntries(headers)]]);
}

type Reader = (values: readonly unknown[]) => unknown;

/**
 * Fields, their headers, and readers of the header values. A reader returns null without a usable
 * value.
 */
const MOVED: readonly (readonly [field: string, names: readonly string[], read: Reader])[] = [
  ['in_reply_to', ['in-reply-to'], ([value]) => value ?? null],
  ['references', ['references'], ([value]) => (typeof value === 'string' ? value : null)],
  [
    'unsubscribe',
    ['list-unsubscribe', 'list-unsubscribe-post'],
    ([targets, post]) => readUnsubscribe(targets, post),
  ],
];

/** RFC 2369, section 2, and RFC 8058: at most one https and one mailto URL. */
function readUnsubscribe(targets: unknown, post: unknown): object | null {
  if (typeof targets !== 'string' || !/^\s*<[^<>]+>(?:\s*,\s*<[^<>]+>)*\s*$/.test(targets)) return null;
  if (post !== undefined && !/^list-unsubscribe=one-click$/i.test(String(post).trim())) return null;
  const urls = [...targets.matchAll(/<([^<>]+)>/g)].map(([, url = '']) => url.trim());
  const mailto = urls.filter((url) => /^mailto:/i.test(url));
  const others = urls.filter((url) => !mailto.includes(url));
  if (mailto.length > 1 || others.length > 1) return null;
  return {
    ...(others[0] !== undefined && { url: others[0] }),
    ...(mailto[0] !== undefined && { email: mailto[0] }),
    ...(post !== undefined && { one_click: true }),
  };
}
