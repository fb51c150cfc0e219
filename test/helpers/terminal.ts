import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;
/** The program that makes pseudo-terminals. */
export const SCRIPT = '/usr/bin/script';

export const hasScript = existsSync(SCRIPT) || process.env.CI === 'true';

/** Maximum wait for output, in ms. */
const LIMIT_MS = 30_000;

export const CTRL_C = '\x03';

/** A command in a terminal. */
export interface TerminalSession extends AsyncDisposable {
  /** Resolves with the first match after the last one. Rejects if the process ends without it. */
  saw(pattern: RegExp): Promise<RegExpExecArray>;
  /** Types a line. */
  enter(line: string): void;
  /** Types characters. */
  type(text: string): void;
  /** Returns everything shown so far, without control sequences. */
  screen(): string;
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>;
}

/** Runs `outtray <args>` in a pseudo-terminal, with this environment and no other variable but PATH. */
export function runInTerminal(
  args: readonly string[],
  env: Record<string, string>,
  cwd: string,
): TerminalSession {
  const command = `exec ${[process.execPath, MAIN, ...args].map((word) => `'${word}'`).join(' ')}`;
  const child: ChildProcess = spawn(
    SCRIPT,
    ['--quiet', '--flush', '--return', '--echo', 'never', '--command', command, '/dev/null'],
    {
      cwd,
      env: { PATH: process.env.PATH, TERM: 'xterm', SHELL: '/bin/sh', NO_COLOR: '1', ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  let raw = '';
  let seen = 0;
  let wake = Promise.withResolvers<void>();
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    raw += text;
    wake.resolve();
  });
  const ended = once(child, 'close').then(([code]) => {
    wake.resolve();
    return code as number | null;
  });
  const screen = () => stripVTControlCharacters(raw).replaceAll('\r', '');
  const type = (text: string) => void child.stdin?.write(text);
  return {
    async saw(pattern) {
      for (;;) {
        const text = screen().slice(seen);
        const match = pattern.exec(text);
        if (match) {
          seen += match.index + match[0].length;
          return match;
        }
        if (child.exitCode !== null) throw new Error(`the process exited without ${pattern}:\n${text}`);
        const next = Promise.withResolvers<void>();
        wake = next;
        const timer = setTimeout(
          () => next.reject(new Error(`no ${pattern} within ${LIMIT_MS} ms:\n${text}`)),
          LIMIT_MS,
        );
        await next.promise.finally(() => clearTimeout(timer));
      }
    },
    enter: (line) => type(`${line}\r`),
    type,
    screen,
    ended,
    async [Symbol.asyncDispose]() {
      child.stdin?.destroy();
      child.kill('SIGKILL');
      await ended;
    },
  };
}
