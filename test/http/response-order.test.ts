import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { CRM, MAIL, startApp } from '../helpers/app.ts';

const CONNECTIONS = 8;
const BODY = JSON.stringify(MAIL);
const REQUEST = `POST /send HTTP/1.1\r\nhost: a\r\nauthorization: ${CRM.authorization}\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;

test('requests that arrive together are accepted before the first of them gets its response', async () => {
  await using service = await startApp();
  /** For each response, the number of messages that were accepted when it was written. */
  const acceptedBefore: number[] = [];
  service.app.server.on('request', (_request, response) =>
    response.once('prefinish', () => acceptedBefore.push(service.accepted.length)),
  );
  const { hostname, port } = new URL(await service.listen());
  const sockets = Array.from({ length: CONNECTIONS }, () => connect(Number(port), hostname));
  const sendAll = async () => {
    for (const socket of sockets) socket.write(REQUEST);
    await Promise.all(sockets.map((socket) => once(socket, 'data')));
  };
  // Establishes the connections.
  await sendAll();
  await sendAll();
  // The system may deliver some requests a turn later than others.
  expect(acceptedBefore[CONNECTIONS]).toBeGreaterThan(CONNECTIONS + 1);
});
