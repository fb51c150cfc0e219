import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

// Loaded with --import: the first readdir of the process never ends and blocks a thread of Node's
// pool.
fs.promises.readdir = (() => {
  process.stderr.write('reading\n');
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.once(name, () => process.stderr.write(`got ${name}\n`));
  return new Promise(() => fs.readFile(process.env.FIFO ?? '', () => {}));
}) as unknown as typeof fs.promises.readdir;
syncBuiltinESMExports();
