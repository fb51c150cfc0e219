/** One connection: reads commands, and responds to one after another. */
import type { TLSSocket } from 'node:tls';
import type { Entry, Folder } from '../mailbox/folder.ts';
import type { ImapSession } from '../mailbox/imap-state.ts';
import type { SimulatorState } from '../state.ts';
import { BadCommand } from './arguments.ts';
import { findCommand, MAY_NOT_EXPUNGE } from './commands.ts';
import { Output } from './output.ts';
import { Reader } from './reader.ts';

/** Maximum number of characters of a command that is recorded, and of a completion. */
const MAX_TEXT = 1000;

/** A folder that the client has selected. */
export interface Selection {
  readonly folder: Folder;
  readonly readOnly: boolean;
  /** The mails by their sequence numbers, as far as the client knows. */
  view: readonly Entry[];
  /** Value of `folder.changes` when all changes had been reported. */
  changes: number;
}

export interface Login {
  readonly user: string;
  /** The access token, if it can expire: the session ends with it. Null otherwise. */
  readonly token: string | null;
}

const WRONG_STATE = {
  any: '',
  anonymous: 'already logged in',
  authenticated: 'not logged in',
  selected: 'no mailbox is selected',
} as const;

export class Session implements ImapSession {
  readonly state: SimulatorState;
  readonly output: Output;
  readonly reader: Reader;
  readonly remoteAddress: string;
  login: Login | null = null;
  selection: Selection | null = null;
  isIdle = false;
  /** Set by LOGOUT and BYE. */
  isEnding = false;
  readonly #socket: TLSSocket;

  get user(): string {
    return this.login?.user ?? '';
  }

  constructor(state: SimulatorState, socket: TLSSocket) {
    this.state = state;
    this.output = new Output(socket, state.imap.faults);
    this.reader = new Reader(socket);
    this.remoteAddress = socket.remoteAddress ?? '';
    this.#socket = socket;
  }

  /** Serves the client until it disconnects. Never rejects. */
  async run(): Promise<void> {
    const { imap } = this.state;
    imap.sessions.add(this);
    try {
      const refusal = await this.output.begin('GREETING');
      if (refusal === null) this.output.line(`* OK Gimap ready for requests from ${this.remoteAddress}`);
      else this.bye(refusal);
      while (!this.isEnding) {
        const command = await this.reader.readCommand(() => this.output.line('+ go ahead'));
        if (command === null) break;
        await this.#handle(command);
        await this.output.drained();
      }
    } catch (error) {
      this.bye(error instanceof Error ? error.message : String(error));
    }
    imap.sessions.delete(this);
    this.end();
    imap.mailboxes.notifyListeners();
  }

  /** Closes the connection once everything is sent. */
  end(): void {
    this.#socket.destroySoon();
  }

  /** Closes the connection without a reply. */
  close(): void {
    this.#socket.destroy();
  }

  bye(text: string): void {
    this.output.line(`* BYE ${toText(text)}`);
    this.isEnding = true;
  }

  /** Whether the access token of the login has expired. Then the session ends. */
  endIfExpired(): boolean {
    const { login } = this;
    if (!login?.token || this.state.tokens.accepts(login.user, login.token)) return false;
    this.bye('Session expired, please login again.');
    return true;
  }

  /** Reports what has changed in the selected folder. */
  announce({ expunges }: { readonly expunges: boolean }): void {
    const { selection } = this;
    if (!selection) return;
    const { folder, view } = selection;
    if (selection.changes === folder.changes) return;
    const present = new Set(folder.entries);
    let known = view;
    if (expunges) {
      for (let number = view.length; number > 0; number--)
        if (!present.has(view[number - 1] as Entry)) this.output.line(`* ${number} EXPUNGE`);
      known = view.filter((entry) => present.has(entry));
      selection.changes = folder.changes;
    }
    const lastUid = view.at(-1)?.uid ?? 0;
    const added = folder.entries.filter(({ uid }) => uid > lastUid);
    selection.view = [...known, ...added];
    if (added.length > 0) this.output.line(`* ${selection.view.length} EXISTS`);
  }

  async #handle(text: string): Promise<void> {
    const [, tag, command = ''] = /^([!#-$&',-[\]-z|}~]{1,100})(?: +([\s\S]*))?$/.exec(text) ?? [];
    if (tag === undefined) {
      this.output.line('* BAD Could not parse command');
      return;
    }
    const [, uid, word = '', rest = ''] = /^(uid +)?([^\s()"{]+)(?: +([\s\S]*))?$/i.exec(command) ?? [];
    const name = word.toUpperCase();
    const refusal = await this.output.begin(name);
    if (this.endIfExpired()) return;
    const completion = refusal === null ? await this.#run(name, rest, uid !== undefined) : `NO ${refusal}`;
    this.output.line(`${tag} ${toText(completion)}`);
  }

  /** Returns the completion, without the tag. */
  async #run(name: string, rest: string, uid: boolean): Promise<string> {
    const command = findCommand(name, uid);
    const { login, selection } = this;
    try {
      if (!command) throw new BadCommand(`Unknown command ${name}`);
      const isAllowed = { any: true, anonymous: !login, authenticated: login, selected: selection };
      if (!isAllowed[command.state]) throw new BadCommand(`${name}: ${WRONG_STATE[command.state]}`);
      const user = login?.user ?? '';
      const isWrite = command.writes?.(this, rest) ?? false;
      const shown = command.state === 'anonymous' ? '' : ` ${rest}`;
      this.state.imap.mailboxes.record({
        user,
        text: copyOf(`${uid ? 'UID ' : ''}${name}${shown}`.trim().slice(0, MAX_TEXT)),
        writes: isWrite,
      });
      const completion = await command.run(this, rest, uid);
      this.announce({ expunges: uid || !MAY_NOT_EXPUNGE.has(name) });
      return completion;
    } catch (error) {
      if (error instanceof BadCommand) return `BAD ${error.message}`;
      throw error;
    }
  }
}

/** Text that came from the client must not break the line of a response. */
function toText(text: string): string {
  return text.slice(0, MAX_TEXT).replace(/[^ -~]/g, '?');
}

/** A slice would keep the whole command in memory. */
function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}
