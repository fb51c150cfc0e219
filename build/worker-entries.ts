import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** How a module names the file of a worker thread: as a URL from its own folder. */
const WORKER_URL = /new URL\(\s*[`'"]\.\/([\w/-]+)[^)]*\)?[^)]*import\.meta\.url\)/g;

/**
 * Finds the files of worker threads. No import leads to them, so each needs an entry of its own.
 *
 * @returns Path of each file by its path in the URL, without the extension
 * @throws {Error} If two files have the same path in a URL: the bundle has one folder for all
 */
export function findWorkers(src: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const file of globSync('**/*.ts', { cwd: src })) {
    for (const [, name = ''] of readFileSync(join(src, file), 'utf8').matchAll(WORKER_URL)) {
      const path = join(src, dirname(file), `${name}.ts`);
      if ((found[name] ?? path) !== path) throw new Error(`Two workers are named ${name}`);
      found[name] = path;
    }
  }
  return found;
}
