import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname } from 'node:path';

/** Modules, styles and icons of the operators' page. The bundle has them at the same relative path. */
const PAGE = new URL('../ui/', import.meta.url);
/** The package lit-html. The bundle has copies of its files. */
const LIBRARY = import.meta.url.endsWith('.ts')
  ? new URL('../../node_modules/lit-html/', import.meta.url)
  : new URL('lit-html/', PAGE);
/** The files of lit-html that the page uses. */
export const LIBRARY_FILES = [
  'lit-html.js',
  'directive.js',
  'directive-helpers.js',
  'directives/repeat.js',
] as const;

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export interface UiFile {
  readonly type: string;
  readonly body: Buffer;
}

export interface UiFiles {
  /** Changes with each change of a file, so that clients can cache its URLs for ever. */
  readonly revision: string;
  /** The html of the page, with placeholders. */
  readonly markup: string;
  /** By path relative to `/ui/{revision}/`. */
  readonly byPath: ReadonlyMap<string, UiFile>;
}

/** Reads all files of the page into memory. */
export async function readUiFiles(): Promise<UiFiles> {
  const own = (await readdir(PAGE, { recursive: true })).filter(
    (path) => extname(path) in TYPES && !path.startsWith('lit-html/'),
  );
  const files = await Promise.all([
    ...own.map((path) => readUiFile(path, new URL(path, PAGE))),
    ...LIBRARY_FILES.map((path) => readUiFile(`lit-html/${path}`, new URL(path, LIBRARY))),
  ]);
  files.sort(([a], [b]) => (a < b ? -1 : 1));
  const digest = createHash('sha256');
  for (const [path, { body }] of files) digest.update(`${path} ${body.length} `).update(body);
  return {
    revision: digest.digest('hex').slice(0, 16),
    markup: await readFile(new URL('index.html', PAGE), 'utf8'),
    byPath: new Map(files),
  };
}

async function readUiFile(path: string, url: URL): Promise<[string, UiFile]> {
  return [path, { type: TYPES[extname(path)] ?? 'application/octet-stream', body: await readFile(url) }];
}
