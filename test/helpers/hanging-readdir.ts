import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

// Loaded by --import into a process of ours: the first directory it reads never ends, and a thread of Node's pool waits for ever.
fs.promises.readdir = (() => {
  process.stderr.write('reading\n');
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.once(name, () => process.stderr.write(`got ${name}\n`));
  return new Promise(() => fs.readFile(process.env.FIFO ?? '', () => {}));
}) as unknown as typeof fs.promises.readdir;
syncBuiltinESMExports();
