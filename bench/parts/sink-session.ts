/** The server side of one SMTP session that accepts everything, for a client that has logged in. */
export interface SinkSession {
  /** The client has sent QUIT. */
  readonly ended: boolean;
  /** Handles the next bytes of the client. Returns the replies to them. */
  receive(chunk: Buffer): Replies;
}

export interface Replies {
  /** Empty if the client has to send more first. */
  readonly text: string;
  /** Number of messages that `text` accepts. */
  readonly accepted: number;
}

export const GREETING = '220 sink.test ESMTP\r\n';

const EHLO = [
  'sink.test',
  'SIZE 35882577',
  '8BITMIME',
  'AUTH PLAIN',
  'ENHANCEDSTATUSCODES',
  'PIPELINING',
  'SMTPUTF8',
];
const LF = 0x0a;
/** Ends a message (RFC 5321, section 4.1.1.4). */
const END = Buffer.from('\r\n.\r\n');

export function createSinkSession(user: string, password: string): SinkSession {
  const credentials = Buffer.from(`\0${user}\0${password}`).toString('base64');
  let step: 'new' | 'ready' | 'mail' | 'rcpt' | 'content' = 'new';
  let ended = false;
  /** Start of a line whose end has not arrived. */
  let line = '';
  /** The last bytes of the content so far, at most one fewer than END has. */
  let tail = '';

  /** Returns the index after the end of the message, or -1 if it is not in this chunk. */
  function skipContent(chunk: Buffer, from: number): number {
    const most = END.length - 1;
    const split = (tail + chunk.toString('latin1', from, from + most)).indexOf('\r\n.\r\n');
    if (split >= 0) return from + split + END.length - tail.length;
    const at = chunk.indexOf(END, from);
    if (at >= 0) return at + END.length;
    tail = (tail + chunk.toString('latin1', Math.max(from, chunk.length - most))).slice(-most);
    return -1;
  }

  function reply(command: string): string {
    switch (command.slice(0, 4).toUpperCase()) {
      case 'EHLO':
        return EHLO.map((text, index) => `250${index < EHLO.length - 1 ? '-' : ' '}${text}\r\n`).join('');
      case 'AUTH':
        if (command.trimEnd() !== `AUTH PLAIN ${credentials}`) return '535 5.7.8 Wrong credentials\r\n';
        step = 'ready';
        return '235 2.7.0 Accepted\r\n';
      case 'MAIL':
        if (step !== 'ready') return step === 'new' ? '530 5.7.0 Log in first\r\n' : OUT_OF_ORDER;
        step = 'mail';
        return OK;
      case 'RCPT':
        if (step !== 'mail' && step !== 'rcpt') return OUT_OF_ORDER;
        step = 'rcpt';
        return OK;
      case 'DATA':
        if (step !== 'rcpt') return OUT_OF_ORDER;
        step = 'content';
        // The line of DATA ends with CRLF: a dot right after it ends an empty message.
        tail = '\r\n';
        return '354 Go ahead\r\n';
      case 'RSET':
        if (step !== 'new') step = 'ready';
        return OK;
      case 'NOOP':
        return OK;
      case 'QUIT':
        ended = true;
        return '221 2.0.0 Bye\r\n';
      default:
        return '502 5.5.1 Unknown command\r\n';
    }
  }

  return {
    get ended() {
      return ended;
    },
    receive(chunk) {
      let text = '';
      let accepted = 0;
      let at = 0;
      while (at < chunk.length) {
        if (step === 'content') {
          at = skipContent(chunk, at);
          if (at < 0) break;
          step = 'ready';
          accepted += 1;
          text += OK;
        } else {
          const end = chunk.indexOf(LF, at) + 1;
          line += chunk.toString('latin1', at, end || chunk.length);
          if (end === 0) break;
          text += reply(line);
          line = '';
          at = end;
        }
      }
      return { text, accepted };
    },
  };
}

const OK = '250 2.0.0 OK\r\n';
const OUT_OF_ORDER = '503 5.5.1 Out of order\r\n';
