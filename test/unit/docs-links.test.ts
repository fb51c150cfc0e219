import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

const REPO = resolve(import.meta.dirname, '../..');
const SKIPPED = new Set(['node_modules', 'dist', 'coverage', '.git']);

const PAGES = findPages(REPO).map((file) => relative(REPO, file));

describe.each(PAGES)('%s', (page) => {
  const text = readFileSync(join(REPO, page), 'utf8');

  test('links only to files and headings that exist', () => {
    expect(linksOf(text).filter((link) => !leadsSomewhere(page, link))).toEqual([]);
  });

  test('names only files of this repository that exist', () => {
    expect(pathsIn(text).filter((path) => !existsSync(join(REPO, path)))).toEqual([]);
  });
});

test.each(['.', 'src/client'])('pages of the npm package in %s link only to its files', async (folder) => {
  const { stdout } = await promisify(execFile)('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: join(REPO, folder),
  });
  const packed = new Set(packedFiles(JSON.parse(stdout)).map((path) => join(folder, path)));
  const isPacked = (path: string) =>
    packed.has(path) || [...packed].some((file) => file.startsWith(`${path}/`));
  const dangling = PAGES.filter((page) => packed.has(page)).flatMap((page) =>
    linksOf(readFileSync(join(REPO, page), 'utf8'))
      .map((link) => targetOf(page, link))
      .filter((target) => !isPacked(target))
      .map((target) => `${page} -> ${target}`),
  );
  expect(packed).toContain(join(folder, 'README.md'));
  expect(dangling).toEqual([]);
});

test.each(['src', 'src/core', 'src/adapters', 'src/http'])(
  'ARCHITECTURE.md names every folder of %s',
  (parent) => {
    const text = readFileSync(join(REPO, 'ARCHITECTURE.md'), 'utf8');
    const folders = readdirSync(join(REPO, parent), { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    expect(folders.map(({ name }) => name).filter((name) => !new RegExp(`\\b${name}/`).test(text))).toEqual(
      [],
    );
  },
);

test.each([
  ['README.md', 7],
  ['ARCHITECTURE.md', 8],
])('%s has at most %i KB', (page, kilobytes) => {
  expect(statSync(join(REPO, page)).size).toBeLessThanOrEqual(kilobytes * 1024);
});

function findPages(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : findPages(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

/**
 * The shape of the report depends on the version of npm: a list of packages, or an object of them.
 */
function packedFiles(
  report: Record<string, { readonly files: readonly { readonly path: string }[] }>,
): string[] {
  return Object.values(report).flatMap(({ files }) => files.map(({ path }) => path));
}

/** Relative links, code blocks left out. */
function linksOf(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = '']) => link)
    .filter((link) => !/^[a-z]+:/.test(link));
}

/** The file that a link leads to, relative to the repository. */
function targetOf(page: string, link: string): string {
  const [path = ''] = link.split('#');
  return path === '' ? page : join(dirname(page), path).replace(/\/$/, '');
}

function leadsSomewhere(page: string, link: string): boolean {
  const target = join(REPO, targetOf(page, link));
  if (!existsSync(target)) return false;
  const [, anchor] = link.split('#');
  return anchor === undefined || anchorsOf(readFileSync(target, 'utf8')).includes(anchor);
}

/** The anchors that GitHub makes of headings. */
function anchorsOf(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '');
  return [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{Letter}\p{Number} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/**
 * Paths in code spans that begin with a folder of this repository; those with a placeholder or a
 * pattern are left out.
 */
function pathsIn(text: string): string[] {
  return [...text.matchAll(/`((?:src|test|bench|docs|examples|\.github|\.ci)\/[\w./-]*)`/g)].map(
    ([, path = '']) => path,
  );
}
