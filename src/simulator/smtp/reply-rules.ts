/**
 * Decides the replies to senders, recipients and messages: acceptance, unless a limit or a scripted
 * recipient applies.
 */
import { isUtf8 } from 'node:buffer';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SMTPServerSession } from 'smtp-server';
import { followUpsOf } from '../gmail/follow-ups.ts';
import { relayRefusal } from '../gmail/relay.ts';
import type { ReplyName } from '../gmail/replies.ts';
import type { MailSource } from '../gmail/reports.ts';
import { replaceFrom, rewrittenFrom } from '../gmail/rewrite-from.ts';
import { findScript, type Script } from '../gmail/scripted-recipients.ts';
import type { OpenTransaction } from '../message-log.ts';
import type { SimulatorState } from '../state.ts';
import type { Login } from './auth-extension.ts';

/** What the message log names for a message without a login. */
const NO_LOGIN = { username: '', method: '' };

/** The part of a connection that the rules use. */
export interface RuleSubject {
  readonly session: SMTPServerSession;
  readonly transaction: OpenTransaction | null;
  /** The scripts of the recipients accepted so far. */
  readonly scripts: Script[];
  /** The id in Gmail's replies. */
  readonly replyId: string;
  readonly isOpen: boolean;
  /** Closes the connection without a reply. */
  drop(): void;
  /** Passes the next reply to `listener`, if it is sent. */
  onceReplied(listener: (reply: string) => void): void;
}

/** Returns the reply that refuses the transaction; null begins it. */
export function refusalAtMail(
  { throttle, messageLog, tokens, relay }: SimulatorState,
  session: SMTPServerSession,
  sender: string,
): ReplyName | null {
  const login: Login | undefined = session.user || undefined;
  if (login?.token && !tokens.accepts(login.username, login.token)) return 'connectionExpired';
  // Without the relay, smtp-server itself requires a login.
  if (!session.secure && !login) return 'starttlsFirst';
  const refusal = throttle.nextRefusal() ?? (relay && relayRefusal(relay, sender, login !== undefined));
  if (refusal !== null) messageLog.count('throttled');
  return refusal;
}

/** Returns the reply that refuses the recipient; null accepts it. */
export function refusalAtRcpt(
  state: SimulatorState,
  connection: RuleSubject,
  recipient: string,
): ReplyName | null {
  const script = findScript(recipient);
  if (script?.kind === 'refuse' && script.stage === 'RCPT') return script.reply;
  if (script?.kind === 'refuse-once') {
    const sender = connection.transaction?.from ?? '';
    return state.isFirst('refuse-once', sender, recipient.toLowerCase()) ? script.reply : null;
  }
  if (script) connection.scripts.push(script);
  return refusalByLimit(connection, 'RCPT', connection.session.envelope.rcptTo.length + 1);
}

/** Returns the reply that replaces 354; null accepts DATA. */
export function refusalAtData(state: SimulatorState, connection: RuleSubject): ReplyName | null {
  const refusal =
    scriptedRefusal(connection) ??
    refusalByLimit(connection, 'DATA', connection.session.envelope.rcptTo.length) ??
    (state.dailyLimiter.isReached(userOf(connection)) ? 'dailyLimit' : null);
  if (refusal !== null) recordFinalReply(state, connection);
  return refusal;
}

function scriptedRefusal({ scripts }: RuleSubject): ReplyName | null {
  for (const script of scripts) if (script.kind === 'refuse' && script.stage === 'DATA') return script.reply;
  return null;
}

/** Returns the reply of the first scripted limit that the number of recipients exceeds. */
function refusalByLimit(
  { scripts }: RuleSubject,
  stage: 'RCPT' | 'DATA',
  recipients: number,
): ReplyName | null {
  for (const script of scripts) {
    if (script.kind === 'limit' && script.stage === stage && recipients > script.recipients)
      return script.reply;
  }
  return null;
}

/**
 * Returns true if the connection is to be cut at the first bytes of the message. A short message
 * may have been sent in full by then, dot included, so that its sender cannot be certain. The dot
 * of a long one is never sent: measured on loopback with nodemailer 10.6, 64 KB and 256 KB.
 */
export function dropsInBody(connection: RuleSubject): boolean {
  return connection.scripts.some((script) => script.kind === 'drop' && script.stage === 'body');
}

/**
 * Finishes a message that has arrived completely: stores or refuses it.
 *
 * @param content null if the message exceeded SIZE
 * @param reply sends the final reply; not called if the connection is cut instead
 */
export async function finishMessage(
  state: SimulatorState,
  connection: RuleSubject,
  content: Buffer | null,
  reply: (name: ReplyName) => void,
): Promise<void> {
  const name = content === null ? 'messageTooLarge' : await decideReply(state, connection, content);
  if (name === null) return connection.drop();
  recordFinalReply(state, connection);
  reply(name);
}

/**
 * Returns the final reply; null cuts the connection. A message whose reply is never sent, or is not
 * SMTP, is stored: a real server may have accepted it, too.
 */
async function decideReply(
  state: SimulatorState,
  connection: RuleSubject,
  content: Buffer,
): Promise<ReplyName | null> {
  const script = connection.scripts.find(({ kind }) => kind !== 'limit' && kind !== 'follow-up');
  if (script?.kind === 'refuse') return script.reply;
  if (script?.kind === 'drop' && state.isFirst('drop', messageIdOf(content))) {
    storeMessage(state, connection, content, false);
    return null;
  }
  if (script?.kind === 'garble') {
    storeMessage(state, connection, content, false);
    return 'notSmtp';
  }
  if (script?.kind === 'wait') await sleep(script.ms, undefined, { ref: false });
  // Checked again: other connections may have sent messages since DATA.
  if (state.dailyLimiter.isReached(userOf(connection))) return 'dailyLimit';
  storeMessage(state, connection, content, connection.isOpen);
  return 'accepted';
}

function storeMessage(
  state: SimulatorState,
  connection: RuleSubject,
  content: Buffer,
  answered: boolean,
): void {
  const { user, secure, envelope } = connection.session;
  const { username, method }: Pick<Login, 'username' | 'method'> = user || NO_LOGIN;
  const raw = content.toString();
  const acceptedAt = Date.now();
  const newFrom = state.relay ? null : rewrittenFrom(raw, username, state.aliases);
  state.dailyLimiter.count(userOf(connection));
  state.messageLog.addMessage({
    id: connection.replyId,
    acceptedAt,
    user: username,
    authMethod: method,
    secure,
    from: envelope.mailFrom ? envelope.mailFrom.address : '',
    recipients: envelope.rcptTo.map((recipient) => recipient.address),
    raw,
    bytes: content.length,
    rewrittenFrom: newFrom,
    answered,
  });
  // The relay files no copies.
  if (state.relay) return;
  const source = toFiled(raw, content, newFrom);
  const { mailboxes } = state.imap;
  mailboxes.fileSent(username, source, acceptedAt);
  for (const { address } of envelope.rcptTo) {
    const original = { user: username, recipient: address, source, acceptedAt };
    mailboxes.deliverInTurn(username, followUpsOf(original));
  }
}

/**
 * Returns the message as Gmail files it: with CRLF alone, and with its own From.
 *
 * @param raw the message, decoded as UTF-8
 */
function toFiled(raw: string, content: Buffer, newFrom: string | null): MailSource {
  const file = (text: string) => {
    const lines = text.replace(/(?<!\r)\n/g, '\r\n');
    return newFrom === null ? lines : replaceFrom(lines, newFrom);
  };
  return isUtf8(content) ? file(raw) : Buffer.from(file(content.toString('latin1')), 'latin1');
}

/** Whose daily limit applies: that of the login, or without one that of the sender. */
function userOf({ session }: RuleSubject): string {
  const login: Login | undefined = session.user || undefined;
  return login?.username ?? (session.envelope.mailFrom ? session.envelope.mailFrom.address : '');
}

function recordFinalReply(state: SimulatorState, connection: RuleSubject): void {
  const { transaction } = connection;
  if (transaction === null) return;
  connection.onceReplied((reply) => {
    transaction.reply = reply;
    state.messageLog.notifyWaiters();
  });
}

function messageIdOf(content: Buffer): string {
  return /^message-id:\s*(\S+)/im.exec(content.toString('latin1', 0, 64 * 1024))?.[1] ?? '';
}
