import { extname } from 'node:path';
import { Tinypool } from 'tinypool';
import { type BodyText, toBytes } from '../../../core/message/body-text.ts';

/** In characters. Longer HTML is converted in a worker thread: 100 KB can take 250 ms. */
const MAX_INLINE_HTML = 8 * 1024;
/** Bytes, or characters, of HTML that surely has more characters than `textOf` reads. */
const MAX_READ = 512 * 1024;
/** How long an unused worker thread is kept, in ms. */
const IDLE_MS = 30_000;

let pool: Tinypool | undefined;

/**
 * Derives the plain-text alternative of HTML: see `text-of-html.ts`, which is loaded on first use.
 * The same HTML always results in the same text.
 */
export async function deriveText(page: BodyText): Promise<string> {
  const html = startOf(page);
  if (html.length <= MAX_INLINE_HTML) return (await import('./text-of-html.ts')).textOf(html);
  pool ??= new Tinypool({
    filename: new URL(`./text-of-html${extname(import.meta.url)}`, import.meta.url).href,
    name: 'textOf',
    minThreads: 0,
    maxThreads: 1,
    idleTimeout: IDLE_MS,
  });
  return pool.run(html);
}

/** Returns the part of the HTML that `textOf` reads, and more if there is more. */
function startOf(html: BodyText): string {
  return typeof html === 'string' ? html.slice(0, MAX_READ) : toBytes(html).toString('utf8', 0, MAX_READ);
}
