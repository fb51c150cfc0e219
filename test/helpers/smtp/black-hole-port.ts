import { once } from 'node:events';
import { connect } from 'node:net';
import { Worker } from 'node:worker_threads';

/** Listens with a backlog of one connection, then blocks its thread forever. */
const LISTENER_SOURCE = `
  const { parentPort } = require('node:worker_threads');
  const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;

/**
 * Opens a port where connecting never completes, as behind a firewall that drops packets: its
 * backlog is full.
 */
export async function openBlackHolePort(): Promise<AsyncDisposable & { readonly port: number }> {
  const worker = new Worker(LISTENER_SOURCE, { eval: true });
  const [port] = (await once(worker, 'message')) as [number];
  const backlogSockets = Array.from({ length: 8 }, () =>
    connect({ port, host: '127.0.0.1' }).on('error', () => {}),
  );
  await Promise.all(backlogSockets.slice(0, 2).map((socket) => once(socket, 'connect')));
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of backlogSockets) socket.destroy();
      await worker.terminate();
    },
  };
}
