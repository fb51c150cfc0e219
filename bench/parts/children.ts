import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** A helper process that answers each question with one message. */
export interface Child extends AsyncDisposable {
  ask<Answer>(question: string, argument?: unknown): Promise<Answer>;
}

/**
 * Starts a file of this folder as a process and waits until it is ready. `hello` is its first
 * message.
 */
export async function startChild<Hello>(
  file: string,
  setup: unknown,
  nodeArgs: string[] = [],
): Promise<Child & { hello: Hello }> {
  const child = fork(new URL(file, import.meta.url), [JSON.stringify(setup)], {
    execArgv: nodeArgs,
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [hello] = await nextMessage(child);
  return {
    hello: hello as Hello,
    async ask(question, argument) {
      const answer = nextMessage(child);
      child.send({ question, argument });
      return (await answer)[0] as never;
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
