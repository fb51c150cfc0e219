import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isTemplateId } from '../../core/message/template-id.ts';
import { TemplatesError } from './file-errors.ts';

/** The files that a template may consist of, by part. */
export const PART_FILES = { subject: 'subject.txt', html: 'body.html', text: 'body.txt' } as const;

export const PARTIALS = '_partials';

/** Gmail clips a message at about 102 KB. */
const MAX_FILE_BYTES = 256 * 1024;
const MAX_FILES = 1000;

/** A directory of templates as it was read. */
export interface TemplateFiles {
  readonly ids: readonly string[];
  /** By path: `invoice/body.html`, `_partials/header.html`. */
  readonly texts: ReadonlyMap<string, string>;
}

/**
 * Reads a directory of templates. Names in it that begin with a dot or an underscore are left out (Kubernetes keeps its own there), and so
 * are files of other names than parts and partials have (editors keep theirs there).
 *
 * Symbolic links are followed wherever they lead: Kubernetes mounts a ConfigMap as links, and who may put one here might as well put the
 * file. They cannot lead in a circle, since nothing is read below the second level.
 *
 * @throws {TemplatesError} naming the first that cannot be read
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
      throw unreadable(name, 'is no id of a template: use letters, digits, ".", "_" and "-", at most 64');
    const inside = await list(dir, name);
    ids.push(name);
    for (const file of Object.values(PART_FILES)) if (inside.includes(file)) paths.push(`${name}/${file}`);
  }
  if (paths.length > MAX_FILES)
    throw unreadable('It', `holds ${paths.length} files, and at most ${MAX_FILES} are read: remove some`);

  const texts = new Map<string, string>();
  for (const path of paths) texts.set(path, await readText(dir, path));
  return { ids, texts };
}

function isPartial(name: string): boolean {
  return /^[^.].*\.(?:html|txt)$/.test(name);
}

/** The names in a directory, sorted, so that the same directory is always read in the same order. */
async function list(dir: string, path: string): Promise<string[]> {
  return (await readdir(join(dir, path)).catch(rejectUnreadable(path))).sort();
}

function statOf(dir: string, path: string) {
  return stat(join(dir, path)).catch(rejectUnreadable(path));
}

async function readText(dir: string, path: string): Promise<string> {
  const stats = await statOf(dir, path);
  // A named pipe would keep the reader waiting for ever.
  if (!stats.isFile()) throw unreadable(path, 'is not a file: replace it by one');
  if (stats.size > MAX_FILE_BYTES) {
    throw unreadable(
      path,
      `has ${stats.size} bytes, and at most ${MAX_FILE_BYTES} are read: shorten it. Gmail clips mail at 102 KB`,
    );
  }
  const bytes = await readFile(join(dir, path)).catch(rejectUnreadable(path));
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw unreadable(path, 'is not UTF-8: save it as UTF-8');
  }
}

function rejectUnreadable(path: string) {
  return (error: Error): never => {
    const what = path === '.' ? 'The directory' : path;
    throw unreadable(
      what,
      `cannot be read: ${error.message}. It must be there, and the service must be allowed to read it`,
    );
  };
}

function unreadable(what: string, problem: string): TemplatesError {
  return new TemplatesError([`${what} ${problem}.`]);
}
