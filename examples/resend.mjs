// Resend's own SDK, with Outtray in place of Resend. Needs Node 20 or newer, and: npm install resend
//   OUTTRAY_KEY=<secret> node examples/resend.mjs ada@example.com
// An application that uses the SDK already needs no change: set RESEND_BASE_URL=http://127.0.0.1:3000 and RESEND_API_KEY=<secret>.
import { randomUUID } from 'node:crypto';
import { Resend } from 'resend';

const resend = new Resend(process.env.OUTTRAY_KEY, { baseUrl: process.env.OUTTRAY_URL ?? 'http://127.0.0.1:3000' });
const [, , to = ''] = process.argv;

const { data, error } = await resend.emails.send(
  // No from: the service's own, GMAIL_FROM.
  { to, subject: 'Hello', html: '<p>Sent with the <b>Resend SDK</b>.</p>', tags: [{ name: 'flow', value: 'example' }] },
  // The same key again, after a timeout for instance, never sends twice.
  { idempotencyKey: randomUUID() },
);

if (error) {
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
} else {
  const { data: email } = await resend.emails.get(data.id);
  console.log(`${data.id} is ${email?.last_event}`);
}
