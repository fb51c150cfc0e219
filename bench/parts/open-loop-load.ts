import http from 'node:http';
import { answerQuestions } from './children.ts';

/** Open-loop load: requests at a constant rate, independent of earlier responses. */
export interface OpenLoopLoad {
  readonly port: number;
  readonly path: string;
  readonly key: string;
  readonly body: string;
  readonly everyMs: number;
  readonly ms: number;
}

export interface OpenLoopResult {
  /** Time from when each request was due to the end of its response, in ms, ascending. */
  readonly latencies: readonly number[];
  /** Number of responses by status. */
  readonly statuses: Readonly<Record<string, number>>;
}

export async function run({ port, path, key, body, everyMs, ms }: OpenLoopLoad): Promise<OpenLoopResult> {
  const agent = new http.Agent({ keepAlive: true });
  const headers = {
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  };
  const latencies: number[] = [];
  const statuses: Record<string, number> = {};
  const startedAt = performance.now();

  function send(dueAt: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const request = http.request({ port, path, method: 'POST', agent, headers }, (response) => {
        const { statusCode = 0 } = response;
        statuses[statusCode] = (statuses[statusCode] ?? 0) + 1;
        response.resume().on('end', () => {
          latencies.push(performance.now() - dueAt);
          resolve();
        });
      });
      request.on('error', reject).end(body);
    });
  }

  const sent: Promise<void>[] = [];
  for (let n = 0; n * everyMs < ms; n += 1) {
    const dueAt = startedAt + n * everyMs;
    const early = dueAt - performance.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    sent.push(send(Math.max(dueAt, startedAt)));
  }
  await Promise.all(sent);
  agent.destroy();
  return { latencies: latencies.sort((a, b) => a - b), statuses };
}

answerQuestions('ready', { run });
