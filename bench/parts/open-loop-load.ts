import http from 'node:http';
import { answerQuestions } from './children.ts';

/** Requests at a steady pace, whatever becomes of those before. */
export interface Pace {
  readonly port: number;
  readonly path: string;
  readonly key: string;
  readonly body: string;
  readonly everyMs: number;
  readonly ms: number;
}

export interface PacedResult {
  /** Milliseconds from when each request was due to the end of its answer, ascending. */
  readonly latencies: readonly number[];
  readonly answers: Readonly<Record<string, number>>;
}

export async function pace({ port, path, key, body, everyMs, ms }: Pace): Promise<PacedResult> {
  const agent = new http.Agent({ keepAlive: true });
  const headers = {
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  };
  const latencies: number[] = [];
  const answers: Record<string, number> = {};
  const startedAt = performance.now();

  function send(dueAt: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const request = http.request({ port, path, method: 'POST', agent, headers }, (response) => {
        const { statusCode = 0 } = response;
        answers[statusCode] = (answers[statusCode] ?? 0) + 1;
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
  return { latencies: latencies.sort((a, b) => a - b), answers };
}

answerQuestions('ready', { pace });
