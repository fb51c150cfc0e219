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
 * Lists the folders that match a pattern. Selection and return options (RFC 6154) are ignored, so
 * that attributes of SPECIAL-USE are always returned.
 */
export function list(session: Session, command: 'LIST' | 'LSUB', args: readonly Argument[]): string {
  const [reference, pattern] = args.filter((argument) => typeof argument === 'string');
  if (reference === undefined || pattern === undefined)
    throw new BadCommand(`${command} needs a reference and a pattern`);
  if (pattern === '') session.output.line(`* ${command} (\\Noselect) "/" "/"`);
  const isMatch = toMatcher(reference + pattern);
  for (const { name, attributes } of foldersOf(session)) {
    const encoded = encodeMailboxName(name);
    if (pattern !== '' && isMatch.test(encoded))
      session.output.line(`* ${command} (${attributes}) "/" ${quote(encoded)}`);
  }
  return 'OK Success';
}

/** `*` matches anything, `%` anything but the separator of the hierarchy. */
function toMatcher(pattern: string): RegExp {
  const source = pattern.replace(/[*%]|[^\w]/g, (character) => {
    if (character === '*') return '.*';
    return character === '%' ? '[^/]*' : `\\${character}`;
  });
  return new RegExp(`^${source}$`, 'i');
}

export function status(session: Session, [name, items]: readonly Argument[]): string {
  const folder = findFolder(session, name);
  if (!folder) return NO_SUCH_FOLDER;
  const values: Readonly<Record<string, number>> = {
    MESSAGES: folder.entries.length,
    RECENT: 0,
    UIDNEXT: folder.uidNext,
    UIDVALIDITY: folder.uidValidity,
    UNSEEN: folder.entries.filter(({ mail }) => !mail.flags.has('\\Seen')).length,
  };
  const shown = [items].flat().map((item) => {
    const value = values[String(item).toUpperCase()];
    if (value === undefined) throw new BadCommand(`Unknown status item ${item}`);
    return `${item} ${value}`;
  });
  session.output.line(`* STATUS ${quote(String(name))} (${shown.join(' ')})`);
  return 'OK Success';
}

const FLAGS = '\\Answered \\Flagged \\Draft \\Deleted \\Seen';
const NO_SUCH_FOLDER = 'NO [NONEXISTENT] Unknown Mailbox (Failure)';

export function select(session: Session, [name]: readonly Argument[], readOnly: boolean): string {
  const folder = findFolder(session, name);
  session.selection = null;
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
  const folder = foldersOf(session).find(
    (each) => encodeMailboxName(each.name).toLowerCase() === String(name).toLowerCase(),
  );
  return folder?.role ? session.state.imap.mailboxes.folder(session.user, folder.role) : null;
}
