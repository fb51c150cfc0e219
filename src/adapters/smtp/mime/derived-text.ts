import { extname } from 'node:path';
import { Tinypool } from 'tinypool';

/** In characters. Longer HTML is converted in a worker thread: 100 KB can take 250 ms. */
const MAX_INLINE_HTML = 8 * 1024;
/** How long an unused worker thread is kept, in ms. */
const IDLE_MS = 30_000;

let pool: Tinypool | undefined;

/**
 * Derives the plain-text alternative of HTML: see `text-of-html.ts`, which is loaded on first use.
 * The same HTML always results in the same text.
 */
export async function deriveText(html: string): Promise<string> {
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
