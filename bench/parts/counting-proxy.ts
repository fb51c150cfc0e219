import { once } from 'node:events';
import net from 'node:net';

/** Sessions: from the client's first word until one of the two hangs up. */
export interface Passed {
  readonly open: number;
  readonly atMostOpen: number;
}

/** A port in front of another, which counts: what stands behind it need not be trusted to know. */
export async function openTurnstile(
  target: number,
): Promise<{ readonly port: number; readonly passed: Passed }> {
  const passed = { open: 0, atMostOpen: 0 };
  const server = net.createServer({ noDelay: true }, (inside) => {
    const outside = net.connect({ port: target, host: '127.0.0.1', noDelay: true });
    inside.pipe(outside).pipe(inside);
    let place: 'before' | 'inside' | 'gone' = 'before';
    inside.once('data', () => {
      if (place !== 'before') return;
      place = 'inside';
      passed.open += 1;
      passed.atMostOpen = Math.max(passed.atMostOpen, passed.open);
    });
    const leave = () => {
      if (place === 'inside') passed.open -= 1;
      place = 'gone';
    };
    // Whoever hangs up, that is the end of it.
    for (const [socket, other] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      socket.on('end', leave).on('error', () => {});
      socket.on('close', () => {
        leave();
        other.destroy();
      });
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { port: (server.address() as net.AddressInfo).port, passed };
}
