import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:tls';
import { createCertificate } from '../../../src/simulator/tls/certificate.ts';

/** A command of a client. */
export interface RawCommand {
  readonly tag: string;
  /** In upper case. That of a UID command includes UID, as in UID FETCH. */
  readonly name: string;
  readonly args: string;
  /** Sends exactly these bytes. */
  send(bytes: string): void;
  /** Closes the connection after everything was sent. */
  drop(): void;
}

export interface RawImapOptions {
  /** Returns true if it has responded itself. Otherwise the server responds as a correct one. */
  readonly script?: (command: RawCommand) => boolean;
  readonly capabilities?: string;
  /** LIST responses. */
  readonly folders?: readonly string[];
}

export interface RawImapServer extends AsyncDisposable {
  /** Value of IMAP_URL. */
  readonly url: string;
  /** PEM of the CA that signed its certificate for localhost. */
  readonly ca: string;
  /** The commands of all connections. */
  readonly commands: readonly RawCommand[];
  /** Number of connections so far. */
  readonly connections: number;
  /** Puts a mail into each folder. Nothing is announced. */
  deliver(raw: string): void;
}

/** Starts an IMAP server whose responses a test can script, for faults that no correct server has. */
export async function startRawImap({
  script = () => false,
  capabilities = 'IMAP4rev1 IDLE SPECIAL-USE AUTH=PLAIN',
  folders = ['(\\HasNoChildren) "/" INBOX'],
}: RawImapOptions = {}): Promise<RawImapServer> {
  const { ca, ...certificate } = createCertificate(['localhost']);
  const sockets = new Set<Socket>();
  const commands: RawCommand[] = [];
  const mails: string[] = [];
  let connections = 0;

  /** @returns The response, without its tagged line */
  function responseTo({ name, args }: RawCommand): string {
    if (name === 'CAPABILITY') return `* CAPABILITY ${capabilities}\r\n`;
    if (name === 'LIST' && args === '"" ""') return '* LIST (\\Noselect) "/" ""\r\n';
    if (name === 'LIST') return folders.map((folder) => `* LIST ${folder}\r\n`).join('');
    if (name === 'EXAMINE')
      return `* ${mails.length} EXISTS\r\n* OK [UIDVALIDITY 1]\r\n* OK [UIDNEXT ${mails.length + 1}]\r\n`;
    if (name === 'UID SEARCH') {
      const [, range = '1:*'] = /^UID (\S+)/.exec(args) ?? [];
      return `* SEARCH${uidsIn(range, mails.length)
        .map((uid) => ` ${uid}`)
        .join('')}\r\n`;
    }
    if (name !== 'UID FETCH') return '';
    const [set = ''] = args.split(' ');
    return uidsIn(set, mails.length)
      .map((uid) => fetchResponse(uid, mails[uid - 1] ?? '', args.includes('HEADER')))
      .join('');
  }

  const server = createServer(certificate, (socket) => {
    sockets.add(socket);
    connections += 1;
    let received = '';
    let idleTag = '';
    const send = (bytes: string) => void (socket.writable && socket.write(bytes, 'latin1'));
    socket.setEncoding('latin1').setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk: string) => {
      received += chunk;
      const lines = received.split('\r\n');
      received = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    });
    send('* OK raw.test\r\n');

    function onLine(line: string) {
      if (line === 'DONE') return send(`${idleTag} OK\r\n`);
      const [, tag = '', name = '', args = ''] = /^(\S+) ((?:UID )?\S+) ?(.*)$/.exec(line) ?? [];
      const command = { tag, name: name.toUpperCase(), args, send, drop: () => void socket.end() };
      commands.push(command);
      if (script(command)) return;
      if (command.name !== 'IDLE') return send(`${responseTo(command)}${tag} OK\r\n`);
      idleTag = tag;
      send('+ idling\r\n');
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    url: `imaps://localhost:${(server.address() as AddressInfo).port}`,
    ca,
    commands,
    get connections() {
      return connections;
    },
    deliver: (raw) => void mails.push(raw),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function fetchResponse(uid: number, mail: string, isHeader: boolean): string {
  const content = isHeader ? mail.slice(0, mail.indexOf('\r\n\r\n') + 4) : mail;
  const section = isHeader ? 'BODY[HEADER]<0>' : 'BODY[]<0>';
  return `* ${uid} FETCH (UID ${uid} RFC822.SIZE ${mail.length} ${section} {${content.length}}\r\n${content})\r\n`;
}

/** Returns the UIDs of a set: those from 1 to the last one exist. */
function uidsIn(set: string, last: number): number[] {
  return set.split(',').flatMap((range) => {
    const [from = 0, to = from] = range.split(':').map((end) => (end === '*' ? last : Number(end)));
    const [low, high] = [Math.min(from, to), Math.min(last, Math.max(from, to))];
    return Array.from({ length: Math.max(0, high - low + 1) }, (_, i) => low + i);
  });
}
