import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isTemplateId } from '../../core/message/template-id.ts';
import { TemplatesError } from './file-errors.ts';

/** The file name of each part of a template. */
export const PART_FILES = { subject: 'subject.txt', html: 'body.html', text: 'body.txt' } as const;

export const PARTIALS = '_partials';

/** More than enough: Gmail clips a message at about 102 KB. */
const MAX_FILE_BYTES = 256 * 1024;
const MAX_FILES = 1000;

/** The content of a templates directory. */
export interface TemplateFiles {
  readonly ids: readonly string[];
  /** Texts by path: `invoice/body.html`, `_partials/header.html`. */
  readonly texts: ReadonlyMap<string, string>;
}

/**
 * Reads a templates directory. Ignores names that begin with a dot or an underscore, which
 * Kubernetes uses, and files that are neither parts nor partials, which editors create.
 *
 * Follows symbolic links to any place: Kubernetes mounts a ConfigMap as links, and a user that can
 * create a link here could also create the file. Links cannot form a cycle, because nothing is read
 * below the second level.
 *
 * @throws {TemplatesError} naming the first file that cannot be read
 */
export async function readTemplateFiles(dir: string): Promise<TemplateFiles> {
  const names = await list(dir, '.');
  const ids: string[] = [];
  const paths = names.includes(PARTIALS)
    ? (await list(dir, PARTIALS)).filter(isPartial).map((name) => `${PARTIALS}/${name}`)
    : [];
  for (const name of names.filter((name) => !/^[._]/.test(name))) {
    if (!(await statOf(dir, name)).isDirectory()) continue;
    if (!isTemplateId(name))
      throw invalidFile(name, 'is not a valid template id: use at most 64 letters, digits, ".", "_" and "-"');
    const inside = await list(dir, name);
    ids.push(name);
    for (const file of Object.values(PART_FILES)) if (inside.includes(file)) paths.push(`${name}/${file}`);
  }
  if (paths.length > MAX_FILES)
    throw invalidFile(
      'The directory',
      `has ${paths.length} files, but at most ${MAX_FILES} are allowed: remove some`,
    );

  const texts = new Map<string, string>();
  for (const path of paths) texts.set(path, await readText(dir, path));
  return { ids, texts };
}

function isPartial(name: string): boolean {
  return /^[^.].*\.(?:html|txt)$/.test(name);
}

/**
 * Lists the names in a directory, sorted, so that errors are reported in the same order each time.
 */
async function list(dir: string, path: string): Promise<string[]> {
  return (await readdir(join(dir, path)).catch(rejectUnreadable(path))).sort();
}

function statOf(dir: string, path: string) {
  return stat(join(dir, path)).catch(rejectUnreadable(path));
}

async function readText(dir: string, path: string): Promise<string> {
  const stats = await statOf(dir, path);
  // Reading a named pipe would never end.
  if (!stats.isFile()) throw invalidFile(path, 'is not a file: replace it by a file');
  if (stats.size > MAX_FILE_BYTES) {
    throw invalidFile(
      path,
      `has ${stats.size} bytes, but at most ${MAX_FILE_BYTES} are allowed: shorten it. Gmail clips mail at 102 KB`,
    );
  }
  const bytes = await readFile(join(dir, path)).catch(rejectUnreadable(path));
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalidFile(path, 'is not UTF-8: save it as UTF-8');
  }
}

function rejectUnreadable(path: string) {
  return (error: Error): never => {
    const what = path === '.' ? 'The directory' : path;
    throw invalidFile(
      what,
      `cannot be read: ${error.message}. Check that it exists and that the service may read it`,
    );
  };
}

function invalidFile(what: string, problem: string): TemplatesError {
  return new TemplatesError([`${what} ${problem}.`]);
}
