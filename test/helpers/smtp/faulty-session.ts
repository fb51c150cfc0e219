import type { SecureContext } from 'node:tls';
import type { ConnectionFault, ServerConnection } from './faulty-connection.ts';

/**
 * The stages of a session at which a fault can happen, in order. `ehlo-tls` is the second EHLO;
 * `idle` follows an accepted message, `rset` a refused one.
 */
export type FaultStage =
  | 'connect'
  | 'greeting'
  | 'ehlo'
  | 'starttls'
  | 'tls'
  | 'ehlo-tls'
  | 'auth'
  | 'mail'
  | 'rcpt'
  | 'data'
  | 'body'
  | 'dot'
  | 'idle'
  | 'rset';

/**
 * A fault of the server: a fault of the connection; a reply instead of the correct one (421 also
 * closes the connection); `strip`: EHLO does not offer STARTTLS, which is then refused; `inject`:
 * unsolicited lines in the same segment as the correct reply.
 */
export type ServerFault = ConnectionFault | `${number} ${string}` | 'strip' | 'inject';

/**
 * Called once per stage. `connection`, and `transaction` within it, count from 1. Null causes no
 * fault.
 */
export type FaultPlan = (
  stage: FaultStage,
  position: { readonly connection: number; readonly transaction: number },
) => ServerFault | null;

/**
 * A message that was read up to its dot and not refused: the server accepted it, even if the client
 * received no reply.
 */
export interface Copy {
  readonly messageId: string;
  /** The recipients accepted at RCPT. */
  readonly recipients: readonly string[];
  /** The text as received, without the final dot. */
  readonly data: string;
  /** True if 250 was sent. */
  readonly answered: boolean;
}

export interface SessionOptions {
  readonly plan: FaultPlan;
  readonly connection: number;
  readonly context: SecureContext;
  readonly onLogin: () => void;
  readonly onCopy: (copy: Copy) => void;
  /** Called for each command that is not encrypted. */
  readonly onUnencrypted: (line: string) => void;
}

const EXTENSIONS = ['SIZE 35882577', '8BITMIME', 'ENHANCEDSTATUSCODES', 'PIPELINING', 'SMTPUTF8'];
const OK = '250 2.1.0 OK faulty - gsmtp';
const ACCEPTED = '250 2.0.0 OK  1722933305 faulty - gsmtp';
/** Gmail's reply to a message without headers. */
const NO_HEADER =
  '550 5.7.1 Messages missing a valid address in From: header are not accepted. faulty - gsmtp';
const BAD_SEQUENCE = '503 5.5.1 Bad sequence of commands.\r\n';
/**
 * The start of a TLS record with a handshake message of 16 KB, which a client cannot process before
 * its end.
 */
const SERVER_HELLO = '\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03';
const INJECTED = '\r\n250-injected.test\r\n250 AUTH PLAIN\r\n235 2.7.0 Accepted';

/** Serves one session with the faults of the plan. Throws when the connection is closed. */
export async function serveSession(options: SessionOptions, plain: ServerConnection): Promise<never> {
  const { plan, connection } = options;
  let client = plain;
  let transaction = 0;

  const faultAt = (stage: FaultStage) => plan(stage, { connection, transaction });
  const reply = (stage: FaultStage, reply: string) => replyOrFail(faultAt(stage), reply);

  /**
   * Sends the reply, or causes the fault. Returns the effective reply, which a garbled one also is.
   */
  async function replyOrFail(fault: ServerFault | null, reply: string): Promise<string> {
    if (fault === null || fault === 'strip' || fault === 'inject') {
      const sent = fault === 'strip' ? reply.replace('250-STARTTLS\r\n', '') : reply;
      if (sent) client.send(`${sent}${fault === 'inject' ? INJECTED : ''}\r\n`);
      return sent;
    }
    if (!isReply(fault)) {
      await client.causeFault(fault, reply);
      return reply;
    }
    client.send(`${fault}\r\n`);
    return fault.startsWith('421') ? client.close() : fault;
  }

  async function untilStartTls(): Promise<void> {
    await reply('connect', '');
    await reply('greeting', '220 faulty.test ESMTP faulty - gsmtp');
    let extensions = '';
    for (;;) {
      const line = await client.readLine();
      options.onUnencrypted(line);
      if (line.startsWith('EHLO ')) extensions = await reply('ehlo', ehlo('STARTTLS'));
      else if (line !== 'STARTTLS' || !extensions.includes(line))
        client.send('502 5.5.1 Unrecognized command.\r\n');
      else if (isPositive(await reply('starttls', '220 2.0.0 Ready to start TLS'))) return;
    }
  }

  async function handshake(): Promise<void> {
    const fault = faultAt('tls');
    if (fault !== null) {
      await client.untilReadable();
      await replyOrFail(fault, SERVER_HELLO);
    }
    client = client.startTls(options.context);
  }

  /**
   * Handles RCPT, DATA and the message after MAIL, pipelined or not. Returns when the transaction
   * has ended.
   */
  async function handleTransaction(): Promise<void> {
    transaction += 1;
    const isSenderAccepted = isPositive(await reply('mail', OK));
    const recipients: string[] = [];
    for (;;) {
      const line = await client.readLine();
      const recipient = /^RCPT TO:<(.*)>/.exec(line)?.[1];
      if (recipient === undefined) return line === 'DATA' ? handleMessage(recipients) : handleOther(line);
      if (!isSenderAccepted) client.send(BAD_SEQUENCE);
      else if (isPositive(await reply('rcpt', OK))) recipients.push(recipient);
    }
  }

  async function handleMessage(recipients: readonly string[]): Promise<void> {
    if (recipients.length === 0) return client.send(BAD_SEQUENCE);
    if (!isPositive(await reply('data', '354  Go ahead faulty - gsmtp'))) return;
    await client.untilReadable();
    const refused = /^[45]/.test(await reply('body', ''));
    const message = await client.readToDot();
    if (refused) return;
    const messageId = /^Message-ID: (\S+)/im.exec(message)?.[1];
    if (messageId === undefined) return client.send(`${NO_HEADER}\r\n`);
    const fault = faultAt('dot');
    // Recorded before the reply is sent, so that the client cannot react to it earlier.
    if (fault === null || !isReply(fault))
      options.onCopy({ messageId, recipients, data: message, answered: fault === null });
    if (isPositive(await replyOrFail(fault, ACCEPTED))) await reply('idle', '');
  }

  async function handleOther(line: string): Promise<void> {
    if (line === 'QUIT') await client.close();
    if (line === 'RSET') await reply('rset', OK);
    else client.send(BAD_SEQUENCE);
  }

  await untilStartTls();
  await handshake();
  for (;;) {
    const line = await client.readLine();
    if (line.startsWith('EHLO ')) {
      await reply('ehlo-tls', ehlo('AUTH LOGIN PLAIN XOAUTH2'));
    } else if (line.startsWith('AUTH PLAIN ')) {
      if (isPositive(await reply('auth', '235 2.7.0 Accepted'))) options.onLogin();
    } else if (line.startsWith('MAIL FROM:')) {
      await handleTransaction();
    } else {
      await handleOther(line);
    }
  }
}

function isReply(fault: ServerFault): fault is `${number} ${string}` {
  return /^\d/.test(fault);
}

function isPositive(reply: string): boolean {
  return /^[23]/.test(reply);
}

function ehlo(...extensions: string[]): string {
  const lines = ['faulty.test at your service', ...extensions, ...EXTENSIONS];
  return lines.map((line, index) => `250${index < lines.length - 1 ? '-' : ' '}${line}`).join('\r\n');
}
