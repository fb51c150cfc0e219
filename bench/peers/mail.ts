/** What the peers share: their settings, the check of a request, and the message that is sent. */
import { z } from 'zod';

export interface Settings {
  readonly PORT: string;
  readonly API_KEY: string;
  readonly SMTP_PORT: string;
  readonly SMTP_USER: string;
  readonly SMTP_PASSWORD: string;
  /** Only for BullMQ. */
  readonly REDIS_PORT?: string;
}

const settings = process.env as unknown as Settings;
export const port = Number(settings.PORT);
export const authorization = `Bearer ${settings.API_KEY}`;
export const redis = { host: '127.0.0.1', port: Number(settings.REDIS_PORT) };

/** Options of nodemailer's transport, with a pool or without. */
export const server = {
  host: 'localhost',
  port: Number(settings.SMTP_PORT),
  secure: true,
  auth: { user: settings.SMTP_USER, pass: settings.SMTP_PASSWORD },
};

export const message = z.object({ to: z.email(), subject: z.string(), text: z.string() });
export type Message = z.infer<typeof message>;

export const toMail = (content: Message) => ({ from: settings.SMTP_USER, ...content });
