import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { createSimulatorEnv } from './smtp/simulator-env.ts';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

/** A process of the `outtray` command. */
export interface Running extends AsyncDisposable {
  /** Returns standard output and standard error so far. */
  readonly output: () => { readonly out: string; readonly err: string };
  /** Resolves with the first match in standard output. Rejects if the process exits without one. */
  saw(pattern: RegExp): Promise<RegExpExecArray>;
  signal(name: NodeJS.Signals): void;
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>;
}

/**
 * Runs `outtray <args>` with this environment, and no other variable but PATH.
 *
 * @param cwd by default a folder without a `.env`, so that a developer's file has no effect
 * @param main the file to run, by default that of the source
 * @param input standard input as a pipe; null for none
 */
export function run(
  args: readonly string[],
  env: Record<string, string> = {},
  cwd = import.meta.dirname,
  main = MAIN,
  input: string | null = null,
): Running {
  const child: ChildProcess = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: [input === null ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  child.stdin?.end(input);
  let out = '';
  let err = '';
  const looking = new Set<() => void>();
  const look = () => {
    for (const again of looking) again();
  };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    look();
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const ended = once(child, 'close').then(([code]) => {
    look();
    return code as number | null;
  });

  return {
    output: () => ({ out, err }),
    saw(pattern) {
      return new Promise((resolve, reject) => {
        const again = () => {
          const match = pattern.exec(out);
          if (match) resolve(match);
          else if (child.exitCode !== null)
            reject(new Error(`the process exited without ${pattern}:\n${out}${err}`));
          else return;
          looking.delete(again);
        };
        looking.add(again);
        again();
      });
    },
    signal: (name) => void child.kill(name),
    ended,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Runs `outtray serve` against the simulator, and trusts its CA through NODE_EXTRA_CA_CERTS. */
export async function serveAgainst(
  gmail: Simulator,
  env: Record<string, string> = {},
  main = MAIN,
): Promise<Running & { url: string }> {
  const simulatorEnv = await createSimulatorEnv(gmail);
  const running = run(['serve'], { PORT: '0', ...simulatorEnv.env, ...env }, undefined, main);
  const [, url = ''] = await running.saw(/"url":"(http:[^"]+)"/);
  return {
    ...running,
    url,
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await simulatorEnv[Symbol.asyncDispose]();
    },
  };
}
