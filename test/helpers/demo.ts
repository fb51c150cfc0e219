import { onTestFinished } from 'vitest';
import { run } from './process.ts';

/** Starts `outtray demo`, with the address and the key of the link that it prints. Stops with the test. */
export async function startDemo() {
  const demo = run(['demo'], { PORT: '0' });
  onTestFinished(() => demo[Symbol.asyncDispose]());
  const [, url = '', key = ''] = await demo.saw(/\nOpen (\S+)\/#key=(\w+)\n/);
  const authorization = `Bearer ${key}`;
  const get = (path: string, headers: Record<string, string> = { authorization }) =>
    fetch(`${url}/${path}`, { headers });
  return {
    demo,
    url,
    key,
    get,
    /** Returns what `GET /demo/inbox` lists. */
    async inbox() {
      const response = await get('demo/inbox');
      return ((await response.json()) as { messages: Record<string, unknown>[] }).messages;
    },
    /** Sends a message, and waits until the simulator has it. */
    send: (body: object) =>
      fetch(`${url}/send`, {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json', prefer: 'wait=10' },
        body: JSON.stringify(body),
      }),
  };
}
