// The typed client of the package: sends one message, then reads its status. Needs Node 20 or newer.
//   OUTTRAY_KEY=<secret> node examples/client.mjs ada@example.com
// Runs wherever the package is installed. In a checkout, run "npm run build" first.
import { createOuttrayClient } from 'outtray/client';

const outtray = createOuttrayClient({
  baseUrl: process.env.OUTTRAY_URL ?? 'http://127.0.0.1:3000',
  apiKey: process.env.OUTTRAY_KEY ?? '',
});
const [, , to = ''] = process.argv;

const { data, error } = await outtray.POST('/send', {
  params: { header: { Prefer: 'wait=10' } },
  body: { to, subject: 'Hello', text: 'Sent with the typed client.' },
});

if (error) {
  console.error(`${error.code}: ${error.detail}\n${error.hint}`);
  process.exitCode = 1;
} else if ('id' in data) {
  const { data: message } = await outtray.GET('/messages/{id}', { params: { path: { id: data.id } } });
  console.log(`${message?.id} is ${message?.status}`);
}
