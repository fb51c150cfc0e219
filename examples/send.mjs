// Sends one message and waits for the outcome. Needs Node 20 or newer, and nothing else.
//   OUTTRAY_KEY=<secret> node examples/send.mjs ada@example.com
import { randomUUID } from 'node:crypto';

const url = process.env.OUTTRAY_URL ?? 'http://127.0.0.1:3000';
const [, , to] = process.argv;

const response = await fetch(`${url}/send`, {
  method: 'POST',
  headers: {
    authorization: `Bearer ${process.env.OUTTRAY_KEY}`,
    'content-type': 'application/json',
    // Repeating the request with the same key, for example after a timeout, never sends twice.
    // A key that names the purpose of the message, such as "order-42-shipped", is better than a random one.
    'idempotency-key': randomUUID(),
    // Wait up to 10 s for the outcome. Otherwise the response is 202, and GET /messages/<id> has the outcome later.
    prefer: 'wait=10',
  },
  body: JSON.stringify({
    to,
    subject: 'Hello',
    html: '<p>Sent with <b>fetch</b>.</p>',
    tags: { flow: 'example' },
  }),
  signal: AbortSignal.timeout(30_000),
});
const answer = await response.json();

if (response.ok) {
  console.log(`${answer.id} is ${answer.status}`);
} else {
  console.error(`${answer.code}: ${answer.detail}\n${answer.hint}`);
  for (const { pointer, detail } of answer.errors) console.error(`  ${pointer}: ${detail}`);
  process.exitCode = 1;
}
