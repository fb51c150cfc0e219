import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import type { ImapFaults } from '../mailbox/faults.ts';

const GARBAGE = '<html><title>This network asks you to sign in</title></html>\r\n\0\xff\r\n* 1e9 FETCH (\r\n';

/** Sends the replies of a connection, with the fault that is set. */
export class Output {
  readonly #socket: TLSSocket;
  readonly #faults: ImapFaults;
  #command = 'GREETING';
  #bytesOfConnection = 0;
  #bytesOfCommand = 0;
  #isGarbled = false;

  constructor(socket: TLSSocket, faults: ImapFaults) {
    this.#socket = socket;
    this.#faults = faults;
  }

  /**
   * Begins the reply to a command, later if the server is slow.
   *
   * @returns the text of NO if the command is refused on purpose
   */
  async begin(command: string): Promise<string | null> {
    this.#command = command;
    this.#bytesOfCommand = 0;
    this.#isGarbled = false;
    const fault = this.#faults.of(command);
    if (fault?.kind === 'slow') await sleep(fault.ms, undefined, { ref: false });
    return fault?.kind === 'refuse' ? fault.text : null;
  }

  /** Sends a line, which can contain literals. */
  line(text: string): void {
    const fault = this.#faults.of(this.#command);
    if (fault?.kind === 'garbage') {
      if (!this.#isGarbled) this.#write(GARBAGE);
      this.#isGarbled = true;
      return;
    }
    const octets = `${text}\r\n`;
    if (fault?.kind !== 'cut') {
      this.#write(octets);
      return;
    }
    const sent = fault.command === undefined ? this.#bytesOfConnection : this.#bytesOfCommand;
    const rest = Math.max(0, fault.afterBytes - sent);
    if (octets.length < rest) {
      this.#write(octets);
      return;
    }
    this.#write(octets.slice(0, rest));
    this.#socket.destroySoon();
  }

  /** Waits until the client has read what was sent, beyond a buffer. */
  async drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = () => resolve();
    this.#socket.once('drain', done).once('close', done);
    await promise;
    this.#socket.off('drain', done).off('close', done);
  }

  #write(octets: string): void {
    this.#bytesOfConnection += octets.length;
    this.#bytesOfCommand += octets.length;
    if (this.#socket.writable && octets !== '') this.#socket.write(octets, 'latin1');
  }
}
