// Resend's own SDK, with Outtray in place of Resend. Needs Node 20 or newer, and: npm install resend
//   RESEND_BASE_URL=http://127.0.0.1:3000 RESEND_API_KEY=<secret> node examples/resend.mjs ada@example.com
// The SDK reads both variables itself, so an application that uses it needs no other change.
import { randomUUID } from 'node:crypto';
import { Resend } from 'resend';

if (!process.env.RESEND_BASE_URL)
  throw new Error('Set RESEND_BASE_URL: without it the SDK sends the key to Resend.');
const resend = new Resend();
const [, , to = ''] = process.argv;

const { data, error } = await resend.emails.send(
  // Without "from" the service uses GMAIL_FROM.
  {
    to,
    subject: 'Hello',
    html: '<p>Sent with the <b>Resend SDK</b>.</p>',
    tags: [{ name: 'flow', value: 'example' }],
  },
  // Repeating the request with the same key, for example after a timeout, never sends twice.
  { idempotencyKey: randomUUID() },
);

if (error) {
  // Besides Resend's name of the error, Outtray returns its own code and a hint.
  console.error(`${error.code}: ${error.message}\n${error.hint}`);
  process.exitCode = 1;
} else {
  const { data: email } = await resend.emails.get(data.id);
  console.log(`${data.id} is ${email?.last_event}`);
}
