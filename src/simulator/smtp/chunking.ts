import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import { GmailConnection, SIZE } from './gmail-connection.ts';
import { dropsInBody, finishMessage, refusalAtData } from './reply-rules.ts';

/**
 * Adds BDAT (RFC 3030) to a connection: Gmail offers CHUNKING, and clients such as Exim use it
 * whenever it is offered.
 */
export class ChunkingConnection extends GmailConnection {
  #chunks: Buffer[] = [];
  #bytes = 0;

  /**
   * `BDAT <size> [LAST]`: each chunk of the message has its own reply. The last one ends the
   * message.
   */
  handler_BDAT(command: Buffer, callback: () => void): void {
    const [, digits, last] = /^BDAT\s+(\d{1,12})(\s+LAST)?\s*$/i.exec(command.toString()) ?? [];
    if (digits === undefined || !this._parser) {
      this.send(501, 'syntaxError');
      callback();
      return;
    }
    const onChunk = (octets: Buffer, resume: () => void) =>
      this.#handleChunk(octets, last !== undefined, resume);
    const size = Number(digits);
    this.#bytes += size;
    if (size > 0) {
      readOctets(this._parser, size, this.#bytes <= SIZE, onChunk);
      callback();
    } else {
      onChunk(Buffer.alloc(0), callback);
    }
  }

  #handleChunk(octets: Buffer, isLast: boolean, resume: () => void): void {
    const refusal =
      this.session.envelope.rcptTo.length === 0 ? 'recipientFirst' : refusalAtData(this.state, this);
    this.#chunks.push(octets);
    if (dropsInBody(this)) {
      this.drop();
    } else if (refusal !== null) {
      this.send(503, refusal);
      this._resetSession();
      resume();
    } else if (isLast) {
      this.#finish(resume);
    } else {
      this.send(250, 'ok');
      resume();
    }
  }

  #finish(resume: () => void): void {
    const content = this.#bytes <= SIZE ? Buffer.concat(this.#chunks) : null;
    finishMessage(this.state, this, content, (reply) => {
      this.send(250, reply);
      this._transactionCounter += 1;
      this._resetSession();
      resume();
    });
  }

  override _resetSession(): void {
    super._resetSession();
    this.#chunks = [];
    this.#bytes = 0;
  }
}

/**
 * Reads the next `size` octets of the input, bypassing smtp-server's command parser. The parser is
 * paused until `resume` is called.
 *
 * @param keep false discards the octets: `done` then gets an empty buffer
 */
function readOctets(
  parser: SMTPStream,
  size: number,
  keep: boolean,
  done: (octets: Buffer, resume: () => void) => void,
): void {
  const parts: Buffer[] = [];
  let remaining = size;
  // In data mode the parser passes the rest of the input after the current command to its own
  // _write.
  parser._dataMode = true;
  parser._write = (chunk, encoding, next) => {
    const octets = chunk.subarray(0, remaining);
    remaining -= octets.length;
    if (keep) parts.push(octets);
    if (remaining > 0) {
      next();
      return;
    }
    parser._dataMode = false;
    parser._write = SMTPStream.prototype._write;
    done(Buffer.concat(parts), () => parser._write(chunk.subarray(octets.length), encoding, next));
  };
}
