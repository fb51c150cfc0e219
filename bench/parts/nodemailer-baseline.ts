import { rootCertificates } from 'node:tls';
import { createTransport } from 'nodemailer';
import { answerQuestions, readSetup } from './children.ts';
import type { GmailHello } from './gmail.ts';

/** Baseline: nodemailer's own pool with the same messages. */
const { port, ca, user, password, connections } = readSetup<GmailHello & { connections: number }>();
const pool = createTransport({
  pool: true,
  host: 'localhost',
  port,
  requireTLS: true,
  maxConnections: connections,
  auth: { user, pass: password },
  tls: { ca: [...rootCertificates, ca] },
});

answerQuestions('ready', {
  async send({ count, message }: { count: number; message: { to: string; subject: string; text: string } }) {
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: count }, () => pool.sendMail({ ...message, from: user })));
    return (performance.now() - startedAt) / 1000;
  },
});
