import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import { GmailConnection, SIZE } from './gmail-connection.ts';
import { dropsInBody, refusalAtData, settle } from './reply-rules.ts';

/** Adds BDAT (RFC 3030) to a session: Gmail offers CHUNKING, and some clients, such as Exim, take every server up on that. */
export class ChunkingConnection extends GmailConnection {
  #chunks: Buffer[] = [];
  #bytes = 0;

  /** `BDAT <size> [LAST]`: the message comes in chunks, each with a reply of its own, and ends with the one that says so. */
  handler_BDAT(command: Buffer, callback: () => void): void {
    const [, digits, last] = /^BDAT\s+(\d{1,12})(\s+LAST)?\s*$/i.exec(command.toString()) ?? [];
    if (digits === undefined || !this._parser) {
      this.send(501, 'syntaxError');
      callback();
      return;
    }
    const arrived = (octets: Buffer, resume: () => void) => this.#arrived(octets, last !== undefined, resume);
    const size = Number(digits);
    this.#bytes += size;
    if (size > 0) {
      takeOctets(this._parser, size, this.#bytes <= SIZE, arrived);
      callback();
    } else {
      arrived(Buffer.alloc(0), callback);
    }
  }

  #arrived(octets: Buffer, isLast: boolean, resume: () => void): void {
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
    settle(this.state, this, content, (reply) => {
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
 * Takes the next `size` octets of the input as they are, past smtp-server's command parser. The parser stands still until `resume` is called.
 *
 * @param keep whether `done` gets the octets, or only learns that they have gone by
 */
function takeOctets(
  parser: SMTPStream,
  size: number,
  keep: boolean,
  done: (octets: Buffer, resume: () => void) => void,
): void {
  const parts: Buffer[] = [];
  let missing = size;
  // In data mode the parser hands what is left of the input after the current command to its own _write.
  parser._dataMode = true;
  parser._write = (chunk, encoding, next) => {
    const octets = chunk.subarray(0, missing);
    missing -= octets.length;
    if (keep) parts.push(octets);
    if (missing > 0) {
      next();
      return;
    }
    parser._dataMode = false;
    parser._write = SMTPStream.prototype._write;
    done(Buffer.concat(parts), () => parser._write(chunk.subarray(octets.length), encoding, next));
  };
}
