import { globSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [LIBRARY] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1');

/**
 * Whether libfaketime is installed. Always true with CI=true, so that its tests fail where it is
 * missing.
 */
export const hasFaketime = LIBRARY !== undefined || process.env.CI === 'true';

/** A wall clock for processes with this environment. Their monotonic clock stays real. */
export interface FakeClock extends AsyncDisposable {
  readonly env: Record<string, string>;
  /** Sets the clock to the real time plus this offset, in seconds. */
  jumpTo(offsetS: number): Promise<void>;
  /** The fake time, in epoch ms. */
  now(): number;
}

export async function startFakeClock(): Promise<FakeClock> {
  if (LIBRARY === undefined) throw new Error('libfaketime is not installed: apt-get install faketime');
  const folder = await mkdtemp(join(tmpdir(), 'outtray-clock-'));
  const file = join(folder, 'offset');
  let offset = 0;

  async function jumpTo(offsetS: number) {
    await writeFile(`${file}.new`, `${offsetS < 0 ? '' : '+'}${offsetS}\n`);
    await rename(`${file}.new`, file);
    offset = offsetS;
  }

  await jumpTo(0);
  return {
    env: {
      LD_PRELOAD: LIBRARY,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      DONT_FAKE_MONOTONIC: '1',
    },
    jumpTo,
    now: () => Date.now() + offset * 1000,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}
