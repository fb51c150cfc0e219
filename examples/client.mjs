// The typed client: sends one message, then reads its outcome. Needs Node 20 or newer.
//   OUTTRAY_KEY=<secret> node examples/client.mjs ada@example.com
// Runs wherever the package is installed. In a checkout, run "npm run build" first.
// The package outtray-client exports the same client.
import { createOuttrayClient } from 'outtray/client';

const outtray = createOuttrayClient({
  baseUrl: process.env.OUTTRAY_URL ?? 'http://127.0.0.1:3000',
  apiKey: process.env.OUTTRAY_KEY ?? '',
});
const [, , to = ''] = process.argv;

const { data, error } = await outtray.send({ to, subject: 'Hello', text: 'Sent with the typed client.' });

if (error) {
  console.error(`${error.code}: ${error.detail}\n${error.hint}`);
  process.exitCode = 1;
} else {
  const { data: message } = await outtray.wait(data.id, { signal: AbortSignal.timeout(60_000) });
  console.log(`${message?.id} is ${message?.status}`);
}
