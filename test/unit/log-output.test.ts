import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempDisposableSync, openSync, readSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { openLogOutput } from '../../src/log-output.ts';

const READ = constants.O_RDONLY | constants.O_NONBLOCK;

/** Reads what a pipe holds now. */
function readAll(fd: number): string {
  const buffer = Buffer.alloc(1024 * 1024);
  let text = '';
  try {
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer))
      text += buffer.toString('utf8', 0, count);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
  return text;
}

test('an entry of several lines is dropped as a whole, and counted as one', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'outtray-log-'));
  const fifo = join(folder.path, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const first = openSync(fifo, READ);
  const output = openLogOutput(openSync(fifo, 'w'), (dropped) => `dropped ${dropped}\n`);
  const written = 4000;
  for (let count = 0; count < written; count += 1)
    output.write(`entry ${count}\n  detail ${'x'.repeat(50)}\n  hint ${'x'.repeat(count % 50)}\n`);
  // The pipe is full and the rest of a batch waits. Without a reader, the next write fails.
  closeSync(first);
  output.flushSync();
  const second = openSync(fifo, READ);
  let text = '';
  await vi.waitFor(() => {
    text += readAll(second);
    expect(text).toMatch(/^dropped \d+$/m);
  });
  closeSync(second);
  const entries = text.match(/^entry \d+\n {2}detail x{50}\n {2}hint x*$/gm) ?? [];
  const dropped = Number(/^dropped (\d+)$/m.exec(text)?.[1]);
  expect(entries.length).toBeGreaterThan(100);
  expect(entries.length + dropped).toBe(written);
  expect(text.match(/^entry/gm)).toHaveLength(entries.length);
});
