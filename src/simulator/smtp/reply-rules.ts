/** What becomes of senders, recipients and messages: accepted, unless a limit or a scripted recipient says otherwise. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SimulatorState } from '../state.ts';
import type { GmailConnection, Login } from './gmail-connection.ts';
import type { ReplyName } from './replies.ts';
import { rewrittenFrom } from './rewrite-from.ts';
import { scriptFor } from './scripted-recipients.ts';

/** The reply that refuses the transaction; null lets it begin. */
export function refusalAtMail(
  { throttle, journal, tokens }: SimulatorState,
  login: Login | undefined,
): ReplyName | null {
  if (login?.token && !tokens.accepts(login.username, login.token)) return 'connectionExpired';
  const refusal = throttle.take();
  if (refusal !== null) journal.count('throttled');
  return refusal;
}

/** The reply that refuses the recipient; null accepts it. */
export function refusalAtRcpt(
  state: SimulatorState,
  connection: GmailConnection,
  recipient: string,
): ReplyName | null {
  const script = scriptFor(recipient);
  if (script?.does === 'refuse' && script.stage === 'RCPT') return script.reply;
  if (script?.does === 'refuse-once') {
    const sender = connection.transaction?.from ?? '';
    return state.firstTime('refuse-once', sender, recipient.toLowerCase()) ? script.reply : null;
  }
  if (script) connection.scripts.push(script);
  return exceededLimit(connection, 'RCPT', connection.session.envelope.rcptTo.length + 1);
}

/** The reply in place of 354; null goes ahead. */
export function refusalAtData(state: SimulatorState, connection: GmailConnection): ReplyName | null {
  const refusal =
    scriptedRefusal(connection) ??
    exceededLimit(connection, 'DATA', connection.session.envelope.rcptTo.length) ??
    (state.dailyLimiter.isReached(userOf(connection)) ? 'dailyLimit' : null);
  if (refusal !== null) recordFinalReply(state, connection);
  return refusal;
}

function scriptedRefusal({ scripts }: GmailConnection): ReplyName | null {
  for (const script of scripts) if (script.does === 'refuse' && script.stage === 'DATA') return script.reply;
  return null;
}

/** The reply, if so many recipients are more than one of them allows. */
function exceededLimit(
  { scripts }: GmailConnection,
  stage: 'RCPT' | 'DATA',
  recipients: number,
): ReplyName | null {
  for (const script of scripts) {
    if (script.does === 'limit' && script.stage === stage && recipients > script.recipients)
      return script.reply;
  }
  return null;
}

/**
 * Whether to cut the connection on the first bytes of the message. All of a short message, dot included, may be on its way by then, so that
 * its sender cannot be certain. Of a long one the dot never leaves: measured on loopback with nodemailer 10.6, 64 KB and 256 KB.
 */
export function dropsInBody(connection: GmailConnection): boolean {
  return connection.scripts.some((script) => script.does === 'drop' && script.stage === 'body');
}

/**
 * The whole message has arrived: keeps it, or not.
 *
 * @param content null if it was larger than SIZE
 * @param answer sends the final reply; not called if the connection is cut instead
 */
export async function settle(
  state: SimulatorState,
  connection: GmailConnection,
  content: Buffer | null,
  answer: (reply: ReplyName) => void,
): Promise<void> {
  const reply = content === null ? 'messageTooLarge' : await verdict(state, connection, content);
  if (reply === null) return connection.drop();
  recordFinalReply(state, connection);
  answer(reply);
}

/** Null to cut the connection. A message whose reply never comes, or cannot be read, is kept: a real server may have taken it too. */
async function verdict(
  state: SimulatorState,
  connection: GmailConnection,
  content: Buffer,
): Promise<ReplyName | null> {
  const script = connection.scripts.find(({ does }) => does !== 'limit');
  if (script?.does === 'refuse') return script.reply;
  if (script?.does === 'drop' && state.firstTime('drop', messageIdOf(content))) {
    keep(state, connection, content, false);
    return null;
  }
  if (script?.does === 'garble') {
    keep(state, connection, content, false);
    return 'notSmtp';
  }
  if (script?.does === 'wait') await sleep(script.ms, undefined, { ref: false });
  // Asked again, since messages on other connections may have come in before this one was complete.
  if (state.dailyLimiter.isReached(userOf(connection))) return 'dailyLimit';
  keep(state, connection, content, connection.isOpen);
  return 'accepted';
}

function keep(state: SimulatorState, connection: GmailConnection, content: Buffer, answered: boolean): void {
  const { user, secure, envelope } = connection.session;
  const { username, method }: Login = user;
  const raw = content.toString();
  state.dailyLimiter.count(username);
  state.journal.keep({
    id: connection.replyId,
    acceptedAt: Date.now(),
    user: username,
    authMethod: method,
    secure,
    from: envelope.mailFrom ? envelope.mailFrom.address : '',
    recipients: envelope.rcptTo.map((recipient) => recipient.address),
    raw,
    bytes: content.length,
    rewrittenFrom: rewrittenFrom(raw, username, state.aliases),
    answered,
  });
}

/** Empty before a login. */
function userOf(connection: GmailConnection): string {
  const login: Login | undefined = connection.session.user || undefined;
  return login?.username ?? '';
}

function recordFinalReply(state: SimulatorState, connection: GmailConnection): void {
  const { transaction } = connection;
  if (transaction === null) return;
  connection.onceReplied((reply) => {
    transaction.reply = reply;
    state.journal.changed();
  });
}

function messageIdOf(content: Buffer): string {
  return /^message-id:\s*(\S+)/im.exec(content.toString('latin1', 0, 64 * 1024))?.[1] ?? '';
}
