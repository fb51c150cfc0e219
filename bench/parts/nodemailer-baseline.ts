import { createTransport } from 'nodemailer';
import { answerQuestions, readSetup } from './children.ts';
import type { SinkHello } from './sink.ts';

/** What sending the messages has used. */
export interface SendCost {
  readonly seconds: number;
  readonly cpuMs: number;
}

/** Baseline: nodemailer's own pool with the same messages. */
const { port, user, password, connections } = readSetup<SinkHello & { connections: number }>();
const pool = createTransport({
  pool: true,
  host: 'localhost',
  port,
  secure: true,
  maxConnections: connections,
  auth: { user, pass: password },
});

answerQuestions('ready', {
  async send({
    count,
    message,
  }: {
    count: number;
    message: { to: string; subject: string; text: string };
  }): Promise<SendCost> {
    const startedAt = performance.now();
    const before = process.cpuUsage();
    await Promise.all(Array.from({ length: count }, () => pool.sendMail({ ...message, from: user })));
    const { user: userUs, system } = process.cpuUsage(before);
    return { seconds: (performance.now() - startedAt) / 1000, cpuMs: (userUs + system) / 1000 };
  },
});
