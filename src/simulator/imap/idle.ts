import type { Session } from './session.ts';

/** How often an idle session checks its access token. */
const TOKEN_CHECK_MS = 100;

/** Reports changes of the selected folder until the client sends DONE, or its token expires. */
export async function idle(session: Session): Promise<string> {
  const { mailboxes } = session.state.imap;
  session.output.line('+ idling');
  session.announce({ expunges: true });
  const stop = mailboxes.onChange(() => session.announce({ expunges: true }));
  const expiry = setInterval(() => {
    if (session.endIfExpired()) session.end();
  }, TOKEN_CHECK_MS);
  expiry.unref();
  session.isIdle = true;
  mailboxes.notifyListeners();
  try {
    const line = await session.reader.readLine();
    if (line === null) session.isEnding = true;
    return line?.toUpperCase() === 'DONE' ? 'OK IDLE terminated (Success)' : 'BAD Expected DONE';
  } finally {
    clearInterval(expiry);
    stop();
    session.isIdle = false;
  }
}
