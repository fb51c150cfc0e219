import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PAGES, withTables } from '../helpers/docs-tables.ts';

test.each(Object.entries(PAGES))(
  'the tables of %s match the code (npm run docs:write updates them)',
  (page, names) => {
    const file = new URL(`../../${page}`, import.meta.url);
    const text = readFileSync(file, 'utf8');
    const expected = withTables(text, names);
    if (process.env.DOCS_WRITE) writeFileSync(file, expected);
    else expect(text).toBe(expected);
  },
);
