import net from 'node:net';
import { answerQuestions } from './children.ts';

/**
 * Closed-loop load over raw keep-alive connections: each sends its next request after the response
 * to the last one.
 */
export interface Load {
  readonly port: number;
  readonly path: string;
  readonly key?: string;
  readonly body: string;
  readonly connections: number;
  /** Stops after this many requests or this many ms, whichever comes first. */
  readonly requests?: number;
  readonly ms?: number;
}

export interface LoadResult {
  readonly seconds: number;
  /** Number of responses by status. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Time from each request to its response, in ms, ascending. */
  readonly latencies: Float64Array;
}

const HEAD_END = Buffer.from('\r\n\r\n');

export async function run({
  port,
  path,
  key,
  body,
  connections,
  requests = Infinity,
  ms = 60_000,
}: Load): Promise<LoadResult> {
  const authorization = key ? `authorization: Bearer ${key}\r\n` : '';
  const head = `POST ${path} HTTP/1.1\r\nhost: localhost\r\n${authorization}content-type: application/json\r\n`;
  const request = Buffer.from(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  const statuses: Record<string, number> = {};
  const latencies: number[] = [];
  let left = requests;
  const startedAt = performance.now();
  const endAt = startedAt + ms;

  await Promise.all(
    Array.from({ length: connections }, () => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const socket = net.connect(port, '127.0.0.1');
      let pending: Buffer = Buffer.alloc(0);
      let sentAt = 0;
      const next = () => {
        if (left <= 0 || performance.now() >= endAt) return socket.end(resolve);
        left -= 1;
        sentAt = performance.now();
        socket.write(request);
      };
      socket.setNoDelay(true).on('connect', next).on('error', reject);
      socket.on('data', (chunk: Buffer) => {
        pending = pending.length > 0 ? Buffer.concat([pending, chunk]) : chunk;
        const headEnd = pending.indexOf(HEAD_END);
        if (headEnd < 0) return;
        const text = pending.toString('latin1', 0, headEnd).toLowerCase();
        const length = Number(/content-length: (\d+)/.exec(text)?.[1] ?? 0);
        if (pending.length < headEnd + 4 + length) return;
        const status = text.slice(9, 12);
        statuses[status] = (statuses[status] ?? 0) + 1;
        latencies.push(performance.now() - sentAt);
        pending = Buffer.alloc(0);
        next();
      });
      return promise;
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds, statuses, latencies: Float64Array.from(latencies).sort() };
}

answerQuestions('ready', { run });
