import type { SecureContext } from 'node:tls';
import type { Trick, Wire } from './faulty-wire.ts';

/**
 * Where in a session a fault can strike, in order. `ehlo-tls` is the second EHLO; `idle` follows a message that was taken, `rset` one that was
 * not.
 */
export type Stage =
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
 * What goes wrong: a trick with the connection; another reply than the right one (after a 421 the server hangs up); `strip`: STARTTLS is left
 * out of EHLO, and then refused; `inject`: lines that nobody asked for, in the same segment as the right reply.
 */
export type Fault = Trick | `${number} ${string}` | 'strip' | 'inject';

/** Asked once at each stage; `connection` and `transaction` (within it) count from 1. Null: all is well. */
export type Plan = (
  stage: Stage,
  at: { readonly connection: number; readonly transaction: number },
) => Fault | null;

/** A message that was read to its dot and not refused: it was taken, whatever the client heard. */
export interface Copy {
  readonly messageId: string;
  /** Those whose RCPT was not refused. */
  readonly recipients: readonly string[];
  /** As it came over the wire, without the final dot. */
  readonly wire: string;
  /** Whether the 250 went out as it should. */
  readonly answered: boolean;
}

export interface SessionOptions {
  readonly plan: Plan;
  readonly connection: number;
  readonly context: SecureContext;
  readonly onLogin: () => void;
  readonly onCopy: (copy: Copy) => void;
  /** Each command that comes unencrypted. */
  readonly onClear: (line: string) => void;
}

const EXTENSIONS = ['SIZE 35882577', '8BITMIME', 'ENHANCEDSTATUSCODES', 'PIPELINING', 'SMTPUTF8'];
const OK = '250 2.1.0 OK faulty - gsmtp';
const TAKEN = '250 2.0.0 OK  1722933305 faulty - gsmtp';
/** Gmail's, to what has no header. */
const NO_HEADER =
  '550 5.7.1 Messages missing a valid address in From: header are not accepted. faulty - gsmtp';
const OUT_OF_TURN = '503 5.5.1 Bad sequence of commands.\r\n';
/** The start of a TLS record with a handshake message of 16 KB: nothing that a client can judge before it has all of it. */
const SERVER_HELLO = '\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03';
const INJECTED = '\r\n250-injected.test\r\n250 AUTH PLAIN\r\n235 2.7.0 Accepted';

/** One session of a server that breaks as planned. Throws when the connection is gone. */
export async function serveFaultily(options: SessionOptions, bare: Wire): Promise<never> {
  const { plan, connection } = options;
  let wire = bare;
  let transaction = 0;

  const next = (stage: Stage) => plan(stage, { connection, transaction });
  const answer = (stage: Stage, reply: string) => commit(next(stage), reply);

  /** Says that reply, or does what was planned. Returns the reply that counts: one that was garbled on its way does. */
  async function commit(fault: Fault | null, reply: string): Promise<string> {
    if (fault === null || fault === 'strip' || fault === 'inject') {
      const said = fault === 'strip' ? reply.replace('250-STARTTLS\r\n', '') : reply;
      if (said) wire.send(`${said}${fault === 'inject' ? INJECTED : ''}\r\n`);
      return said;
    }
    if (!isReply(fault)) {
      await wire.play(fault, reply);
      return reply;
    }
    wire.send(`${fault}\r\n`);
    return fault.startsWith('421') ? wire.hangUp() : fault;
  }

  async function untilStartTls(): Promise<void> {
    await answer('connect', '');
    await answer('greeting', '220 faulty.test ESMTP faulty - gsmtp');
    let offer = '';
    for (;;) {
      const line = await wire.readLine();
      options.onClear(line);
      if (line.startsWith('EHLO ')) offer = await answer('ehlo', ehlo('STARTTLS'));
      else if (line !== 'STARTTLS' || !offer.includes(line)) wire.send('502 5.5.1 Unrecognized command.\r\n');
      else if (isPositive(await answer('starttls', '220 2.0.0 Ready to start TLS'))) return;
    }
  }

  async function handshake(): Promise<void> {
    const fault = next('tls');
    if (fault !== null) {
      await wire.arrival();
      await commit(fault, SERVER_HELLO);
    }
    wire = wire.startTls(options.context);
  }

  /** MAIL, RCPT, DATA and the message, pipelined or not. Returns when the transaction has ended in whatever way. */
  async function transact(): Promise<void> {
    transaction += 1;
    const sender = isPositive(await answer('mail', OK));
    const recipients: string[] = [];
    for (;;) {
      const line = await wire.readLine();
      const recipient = /^RCPT TO:<(.*)>/.exec(line)?.[1];
      if (recipient === undefined) return line === 'DATA' ? takeMessage(recipients) : obey(line);
      if (!sender) wire.send(OUT_OF_TURN);
      else if (isPositive(await answer('rcpt', OK))) recipients.push(recipient);
    }
  }

  async function takeMessage(recipients: readonly string[]): Promise<void> {
    if (recipients.length === 0) return wire.send(OUT_OF_TURN);
    if (!isPositive(await answer('data', '354  Go ahead faulty - gsmtp'))) return;
    await wire.arrival();
    const refused = /^[45]/.test(await answer('body', ''));
    const message = await wire.readToDot();
    if (refused) return;
    const messageId = /^Message-ID: (\S+)/im.exec(message)?.[1];
    if (messageId === undefined) return wire.send(`${NO_HEADER}\r\n`);
    const fault = next('dot');
    // Kept before anything is said: what the client makes of the answer cannot come first.
    if (fault === null || !isReply(fault))
      options.onCopy({ messageId, recipients, wire: message, answered: fault === null });
    if (isPositive(await commit(fault, TAKEN))) await answer('idle', '');
  }

  async function obey(line: string): Promise<void> {
    if (line === 'QUIT') await wire.hangUp();
    if (line === 'RSET') await answer('rset', OK);
    else wire.send(OUT_OF_TURN);
  }

  await untilStartTls();
  await handshake();
  for (;;) {
    const line = await wire.readLine();
    if (line.startsWith('EHLO ')) {
      await answer('ehlo-tls', ehlo('AUTH LOGIN PLAIN XOAUTH2'));
    } else if (line.startsWith('AUTH PLAIN ')) {
      if (isPositive(await answer('auth', '235 2.7.0 Accepted'))) options.onLogin();
    } else if (line.startsWith('MAIL FROM:')) {
      await transact();
    } else {
      await obey(line);
    }
  }
}

function isReply(fault: Fault): fault is `${number} ${string}` {
  return /^\d/.test(fault);
}

function isPositive(reply: string): boolean {
  return /^[23]/.test(reply);
}

function ehlo(...words: string[]): string {
  const lines = ['faulty.test at your service', ...words, ...EXTENSIONS];
  return lines.map((line, index) => `250${index < lines.length - 1 ? '-' : ' '}${line}`).join('\r\n');
}
