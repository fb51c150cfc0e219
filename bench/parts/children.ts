import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/** A helper process that answers each question with one message. */
export interface Child extends AsyncDisposable {
  ask<Answer>(question: string, argument?: unknown): Promise<Answer>;
  /** Repeats the test until it holds. Rejects if the process ends first. */
  until(test: () => Promise<boolean>): Promise<void>;
}

export interface ChildOptions {
  readonly nodeArgs?: readonly string[];
  /** A command that runs Node, such as `strace` and its arguments. */
  readonly wrapper?: readonly string[];
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Starts a file of this folder as a process and waits until it is ready. `hello` is its first
 * message.
 */
export function startChild<Hello>(
  file: string,
  setup: unknown,
  options?: ChildOptions,
): Promise<Child & { readonly hello: Hello }> {
  return forkChild(new URL(file, import.meta.url), [JSON.stringify(setup)], options);
}

/** Starts a file as a process and waits until it has sent its first message. */
export async function forkChild<Hello>(
  file: URL,
  args: readonly string[],
  { nodeArgs = [], wrapper = [], env = {} }: ChildOptions = {},
): Promise<Child & { readonly hello: Hello }> {
  const [execPath, ...execArgv] = [...wrapper, process.execPath, ...nodeArgs];
  const child = fork(file, args, {
    execPath,
    execArgv,
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, ...env },
    // A folder without .env.
    cwd: import.meta.dirname,
  });
  const [hello] = await nextMessage(child);
  return {
    hello: hello as Hello,
    async ask(question, argument) {
      const answer = nextMessage(child);
      child.send({ question, argument });
      return (await answer)[0] as never;
    },
    async until(test) {
      while (!(await test())) {
        if (child.exitCode !== null) throw new Error(`${file} ended with ${child.exitCode}`);
        await sleep(5);
      }
    },
    async [Symbol.asyncDispose]() {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

async function nextMessage(child: ChildProcess): Promise<unknown[]> {
  const gone = new AbortController();
  const failed = once(child, 'exit', { signal: gone.signal }).then(([code]) => {
    throw new Error(`a helper process ended with ${code}`);
  });
  try {
    return await Promise.race([once(child, 'message'), failed as Promise<never>]);
  } finally {
    failed.catch(() => {});
    gone.abort();
  }
}

/** In the helper process: returns the setup it was started with. */
export function readSetup<Setup>(): Setup {
  return JSON.parse(process.argv[2] ?? '{}') as Setup;
}

/** In the helper process: sends `hello`, then answers questions until it is killed. */
export function answerQuestions(hello: unknown, answers: Record<string, (argument: never) => unknown>): void {
  process.on('message', async ({ question, argument }: { question: string; argument: never }) => {
    const answer = answers[question];
    if (!answer) throw new Error(`no answer to ${question}`);
    process.send?.((await answer(argument)) ?? null);
  });
  // The parent process has ended.
  process.on('disconnect', () => process.exit());
  process.send?.(hello);
}
