import type { Readable } from 'node:stream';

/** Maximum length of a command with its literals. */
const MAX_COMMAND_BYTES = 256 * 1024;

/** The client sent more than the simulator stores. */
export class CommandTooLong extends Error {
  override readonly message = 'Command too long';
}

const LOST = { value: undefined, done: true } as const;

/** Reads what a client sends, as binary strings. */
export class Reader {
  readonly #chunks: AsyncIterator<Buffer>;
  #received = '';

  constructor(socket: Readable) {
    this.#chunks = socket.iterator({ destroyOnReturn: false });
  }

  /** Returns the next line without its CRLF; null once the client has disconnected. */
  async readLine(): Promise<string | null> {
    for (;;) {
      const end = this.#received.indexOf('\n');
      if (end >= 0) return this.#take(end + 1).replace(/\r?\n$/, '');
      if (!(await this.#receive())) return null;
    }
  }

  /**
   * Returns the next command, with its literals as `{n}`, CRLF and their octets. Null once the
   * client has disconnected. A literal that is too long and waits for permission gets none: the
   * command then ends with `{n}`.
   *
   * @param goAhead called before a literal that waits for permission
   * @throws {CommandTooLong}
   */
  async readCommand(goAhead: () => void): Promise<string | null> {
    let command = '';
    for (;;) {
      const line = await this.readLine();
      if (line === null) return null;
      command += line;
      const [, digits, sign] = /\{(\d+)([+-]?)\}$/.exec(line) ?? [];
      if (digits === undefined) return command;
      if (command.length + Number(digits) > MAX_COMMAND_BYTES) {
        if (sign === '') return command;
        throw new CommandTooLong();
      }
      if (sign === '') goAhead();
      const octets = await this.#readOctets(Number(digits));
      if (octets === null) return null;
      command += `\r\n${octets}`;
    }
  }

  async #readOctets(count: number): Promise<string | null> {
    while (this.#received.length < count) if (!(await this.#receive())) return null;
    return this.#take(count);
  }

  #take(count: number): string {
    const taken = this.#received.slice(0, count);
    this.#received = this.#received.slice(count);
    return taken;
  }

  async #receive(): Promise<boolean> {
    const { value, done } = await this.#chunks.next().catch(() => LOST);
    if (done) return false;
    this.#received += value.toString('latin1');
    if (this.#received.length > 2 * MAX_COMMAND_BYTES) throw new CommandTooLong();
    return true;
  }
}
