/** The commands, with the states in which they are allowed. */
import { parseArguments } from './arguments.ts';
import { fetch, marksAsSeen } from './fetch.ts';
import { close, list, select, status } from './folders.ts';
import { idle } from './idle.ts';
import { authenticate, CAPABILITIES, CAPABILITIES_BEFORE_LOGIN, logIn } from './login.ts';
import { search } from './search.ts';
import type { Session } from './session.ts';

export interface Command {
  readonly state: 'any' | 'anonymous' | 'authenticated' | 'selected';
  /** Whether the command changes the mailbox, or would. */
  readonly writes?: (session: Session, rest: string) => boolean;
  /**
   * Returns the completion, without the tag.
   *
   * @param rest the arguments, as sent
   * @throws {BadCommand}
   */
  readonly run: (session: Session, rest: string, uid: boolean) => string | Promise<string>;
}

/** Commands during which sequence numbers must not change (RFC 3501, section 7.4.1). */
export const MAY_NOT_EXPUNGE: ReadonlySet<string> = new Set(['FETCH', 'SEARCH', 'STORE']);

const WITH_UID: ReadonlySet<string> = new Set([...MAY_NOT_EXPUNGE, 'COPY', 'MOVE', 'EXPUNGE']);

/** A command that would change the mailbox: refused, so that tests can prove that none is sent. */
const REFUSED_WRITE: Command = {
  state: 'authenticated',
  writes: () => true,
  run: () => 'NO [CANNOT] The mailboxes of the simulator cannot be changed',
};

const COMMANDS: Readonly<Record<string, Command>> = {
  CAPABILITY: {
    state: 'any',
    run: ({ login, output }) => {
      output.line(`* CAPABILITY ${login ? CAPABILITIES : CAPABILITIES_BEFORE_LOGIN}`);
      return 'OK Thats all she wrote!';
    },
  },
  ID: {
    state: 'any',
    run: ({ output, remoteAddress }) => {
      output.line(`* ID ("name" "GImap" "vendor" "Google, Inc." "remote-host" "${remoteAddress}")`);
      return 'OK Success';
    },
  },
  NOOP: { state: 'any', run: () => 'OK Success' },
  LOGOUT: {
    state: 'any',
    run: (session) => {
      session.bye('Logout Requested');
      return 'OK Quoth the raven, nevermore...';
    },
  },
  LOGIN: { state: 'anonymous', run: (session, rest) => logIn(session, parseArguments(rest)) },
  AUTHENTICATE: { state: 'anonymous', run: (session, rest) => authenticate(session, parseArguments(rest)) },
  NAMESPACE: {
    state: 'authenticated',
    run: ({ output }) => {
      output.line('* NAMESPACE (("" "/")) NIL NIL');
      return 'OK Success';
    },
  },
  LIST: { state: 'authenticated', run: (session, rest) => list(session, 'LIST', parseArguments(rest)) },
  LSUB: { state: 'authenticated', run: (session, rest) => list(session, 'LSUB', parseArguments(rest)) },
  STATUS: { state: 'authenticated', run: (session, rest) => status(session, parseArguments(rest)) },
  SELECT: { state: 'authenticated', run: (session, rest) => select(session, parseArguments(rest), false) },
  EXAMINE: { state: 'authenticated', run: (session, rest) => select(session, parseArguments(rest), true) },
  IDLE: { state: 'authenticated', run: idle },
  CHECK: { state: 'selected', run: () => 'OK Success' },
  CLOSE: {
    state: 'selected',
    // It removes the mails with the flag \Deleted, unless the folder was opened by EXAMINE.
    writes: ({ selection }) => !selection?.readOnly,
    run: close,
  },
  UNSELECT: { state: 'selected', run: close },
  SEARCH: { state: 'selected', run: (session, rest, uid) => search(session, parseArguments(rest), uid) },
  FETCH: {
    state: 'selected',
    writes: ({ selection }, rest) => !selection?.readOnly && marksAsSeen(parseArguments(rest)),
    run: (session, rest, uid) => fetch(session, parseArguments(rest), uid),
  },
  STORE: REFUSED_WRITE,
  EXPUNGE: REFUSED_WRITE,
  APPEND: REFUSED_WRITE,
  COPY: REFUSED_WRITE,
  MOVE: REFUSED_WRITE,
  CREATE: REFUSED_WRITE,
  DELETE: REFUSED_WRITE,
  RENAME: REFUSED_WRITE,
  SUBSCRIBE: REFUSED_WRITE,
  UNSUBSCRIBE: REFUSED_WRITE,
};

export function findCommand(name: string, uid: boolean): Command | undefined {
  return uid && !WITH_UID.has(name) ? undefined : COMMANDS[name];
}
