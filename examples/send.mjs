// Sends one message and waits for what becomes of it. Needs Node 20 or newer, and nothing else.
//   OUTTRAY_KEY=<secret> node examples/send.mjs ada@example.com
import { randomUUID } from 'node:crypto';

const url = process.env.OUTTRAY_URL ?? 'http://127.0.0.1:3000';
const [, , to] = process.argv;

const response = await fetch(`${url}/send`, {
  method: 'POST',
  headers: {
    authorization: `Bearer ${process.env.OUTTRAY_KEY}`,
    'content-type': 'application/json',
    // The same key again, after a timeout for instance, never sends twice.
    'idempotency-key': randomUUID(),
    // Wait up to 10 s for the outcome in place of a 202.
    prefer: 'wait=10',
  },
  body: JSON.stringify({ to, subject: 'Hello', html: '<p>Sent with <b>fetch</b>.</p>', tags: { flow: 'example' } }),
});
const answer = await response.json();

if (response.ok) {
  console.log(`${answer.id} is ${answer.status}`);
} else {
  console.error(`${answer.code}: ${answer.detail}\n${answer.hint}`);
  for (const { pointer, detail } of answer.errors ?? []) console.error(`  ${pointer}: ${detail}`);
  process.exitCode = 1;
}
