import SMTPConnection, { type SMTPConnectionAuth } from 'nodemailer/lib/smtp-connection';
import XOAuth2 from 'nodemailer/lib/xoauth2';
import type { Auth } from './login.ts';
import { type ServerOptions, toConnectionOptions } from './server-options.ts';

/**
 * Connects, logs in if there is a login, and quits. Rejects with what nodemailer says; once the signal is aborted or setupMs is over, as an attempt
 * that was given up.
 *
 * Nodemailer's own `verify()` cannot be aborted, and would leave its connection behind.
 */
export async function verifyServer(options: ServerOptions, auth: Auth | null, signal: AbortSignal): Promise<void> {
  const connection = new SMTPConnection(toConnectionOptions(options));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const settle = (error?: Error | null) => (error ? reject(error) : resolve());
  // More than one error may come; only the first is heard.
  connection.on('error', settle);
  connection.once('end', () => settle(Object.assign(new Error('Connection closed'), { code: 'ECONNECTION' })));
  connection.connect((error) => {
    if (error || !auth) settle(error);
    else connection.login(toLogin(auth), settle);
  });
  const giveUp = () => settle(Object.assign(new Error('Given up'), { code: 'EABORT' }));
  const timer = setTimeout(giveUp, options.deadlines.setupMs);
  signal.addEventListener('abort', giveUp);
  if (signal.aborted) giveUp();
  try {
    await promise;
    connection.quit();
  } catch (error) {
    connection.close();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
  }
}

function toLogin(auth: Auth): SMTPConnectionAuth {
  return 'provisionCallback' in auth ? { user: auth.user, method: 'XOAUTH2', oauth2: new XOAuth2(auth) } : auth;
}
