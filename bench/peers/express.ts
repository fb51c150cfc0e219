import express from 'express';
import { createTransport } from 'nodemailer';
import { authorization, message, port, server, toMail } from './mail.ts';

/** Express and nodemailer: a request waits until its message is sent. The argument is `pool` or none. */
const isPooled = process.argv[2] === 'pool';
const transport = isPooled
  ? createTransport({ ...server, pool: true, maxConnections: 5 })
  : createTransport(server);

const app = express();
app.use(express.json());
app.post('/send', async (request, response) => {
  if (request.headers.authorization !== authorization)
    return response.status(401).json({ error: 'wrong key' });
  const parsed = message.safeParse(request.body);
  if (!parsed.success) return response.status(422).json({ error: parsed.error.issues });
  const { messageId } = await transport.sendMail(toMail(parsed.data));
  return response.status(202).json({ id: messageId, status: 'sent' });
});
app.listen(port, '127.0.0.1');
