import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { withTables } from '../helpers/readme.ts';

const README = new URL('../../README.md', import.meta.url);

test('the README’s tables of variables and errors are those of the code (npm run readme:write mends them)', () => {
  const readme = readFileSync(README, 'utf8');
  const wanted = withTables(readme);
  if (process.env.README_WRITE) writeFileSync(README, wanted);
  else expect(readme).toBe(wanted);
});
