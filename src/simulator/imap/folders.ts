/** LIST, STATUS, SELECT and EXAMINE. */
import type { FolderRole } from '../mailbox/folder.ts';
import { type Argument, BadCommand } from './arguments.ts';
import type { Session } from './session.ts';
import { encodeMailboxName, quote } from './text.ts';

interface ListedFolder {
  readonly name: string;
  readonly attributes: string;
  /** Null: it cannot be selected. */
  readonly role: FolderRole | null;
}

function foldersOf({ state }: Session): readonly ListedFolder[] {
  return [
    { name: 'INBOX', attributes: '\\HasNoChildren', role: 'inbox' },
    { name: '[Gmail]', attributes: '\\HasChildren \\Noselect', role: null },
    { name: '[Gmail]/All Mail', attributes: '\\All \\HasNoChildren', role: 'all' },
    { name: '[Gmail]/Drafts', attributes: '\\Drafts \\HasNoChildren', role: 'drafts' },
    { name: state.imap.mailboxes.settings.sentName, attributes: '\\HasNoChildren \\Sent', role: 'sent' },
    { name: '[Gmail]/Spam', attributes: '\\HasNoChildren \\Junk', role: 'spam' },
    { name: '[Gmail]/Trash', attributes: '\\HasNoChildren \\Trash', role: 'trash' },
  ];
}

/**
 * Lists the folders that match a pattern. Attributes of SPECIAL-USE (RFC 6154) are always returned,
 * and `LIST (SPECIAL-USE)` lists only folders with one. Other options are ignored.
 */
export function list(session: Session, command: 'LIST' | 'LSUB', args: readonly Argument[]): string {
  const options = Array.isArray(args[0]) ? args[0] : [];
  const [reference, pattern] = Array.isArray(args[0]) ? args.slice(1) : args;
  const isSpecial = options.some((option) => /^SPECIAL-USE$/i.test(option));
  if (typeof reference !== 'string' || typeof pattern !== 'string')
    throw new BadCommand(`${command} needs a reference and a pattern`);
  if (pattern === '') session.output.line(`* ${command} (\\Noselect) "/" "/"`);
  for (const { name, attributes, role } of foldersOf(session)) {
    const encoded = encodeMailboxName(name);
    if (isSpecial && (role === null || role === 'inbox')) continue;
    if (pattern !== '' && matches(reference + pattern, encoded))
      session.output.line(`* ${command} (${attributes}) "/" ${quote(encoded)}`);
  }
  return 'OK Success';
}

/**
 * Whether a name matches a pattern: `*` is any text, `%` text without the separator. Not a regular
 * expression, because many wildcards would take one very long.
 */
function matches(pattern: string, name: string): boolean {
  const characters = [...name.toLowerCase()];
  // At `index`: whether the pattern so far matches that number of characters.
  let matched = [true, ...characters.map(() => false)];
  for (const symbol of pattern.toLowerCase()) {
    const isWildcard = symbol === '*' || symbol === '%';
    const next = [isWildcard && matched[0] === true];
    for (const [index, character] of characters.entries()) {
      if (isWildcard) {
        const takesOne = symbol === '*' || character !== '/';
        next.push(matched[index + 1] === true || (takesOne && next[index] === true));
      } else next.push(matched[index] === true && character === symbol);
    }
    matched = next;
  }
  return matched.at(-1) === true;
}

export function status(session: Session, [name, items]: readonly Argument[]): string {
  if (!Array.isArray(items) || items.length === 0) throw new BadCommand('STATUS needs a list of items');
  const folder = findFolder(session, name);
  if (!folder) return NO_SUCH_FOLDER;
  const values: Readonly<Record<string, number>> = {
    MESSAGES: folder.entries.length,
    RECENT: 0,
    UIDNEXT: folder.uidNext,
    UIDVALIDITY: folder.uidValidity,
    UNSEEN: folder.entries.filter(({ mail }) => !mail.flags.has('\\Seen')).length,
  };
  const shown = items.map((item) => {
    const key = String(item).toUpperCase();
    const value = values[key];
    if (value === undefined) throw new BadCommand(`STATUS: the simulator does not know ${key}`);
    return `${key} ${value}`;
  });
  session.output.line(`* STATUS ${quote(String(name))} (${shown.join(' ')})`);
  return 'OK Success';
}

const FLAGS = '\\Answered \\Flagged \\Draft \\Deleted \\Seen';
const NO_SUCH_FOLDER = 'NO [NONEXISTENT] Unknown Mailbox (Failure)';

export function select(session: Session, [name]: readonly Argument[], readOnly: boolean): string {
  session.selection = null;
  const folder = findFolder(session, name);
  if (!folder) return NO_SUCH_FOLDER;
  session.selection = { folder, readOnly, view: [...folder.entries], changes: folder.changes };
  for (const line of [
    `FLAGS (${FLAGS})`,
    `OK [PERMANENTFLAGS (${readOnly ? '' : `${FLAGS} \\*`})] Flags permitted.`,
    `OK [UIDVALIDITY ${folder.uidValidity}] UIDs valid.`,
    `${folder.entries.length} EXISTS`,
    '0 RECENT',
    `OK [UIDNEXT ${folder.uidNext}] Predicted next UID.`,
  ])
    session.output.line(`* ${line}`);
  return `OK [${readOnly ? 'READ-ONLY' : 'READ-WRITE'}] ${name} selected. (Success)`;
}

export function close(session: Session): string {
  session.selection = null;
  return 'OK Returned to authenticated state. (Success)';
}

function findFolder(session: Session, name: Argument | undefined) {
  if (typeof name !== 'string') throw new BadCommand('The name of a mailbox is missing');
  const folder = foldersOf(session).find(
    (each) => encodeMailboxName(each.name).toLowerCase() === name.toLowerCase(),
  );
  return folder?.role ? session.state.imap.mailboxes.folder(session.user, folder.role) : null;
}
