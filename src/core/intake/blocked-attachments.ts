import { AppError, type FieldError, summarize } from '../errors.ts';
import type { Attachment } from '../message/message.ts';
import type { AttachmentInspector, BlockedEntry } from '../ports/attachment-inspector.ts';

/** Extensions of files that Gmail blocks: https://support.google.com/mail/answer/6590. */
const BLOCKED_EXTENSIONS: ReadonlySet<string> = new Set(
  `ade adp apk appx appxbundle bat cab chm cmd com cpl diagcab diagcfg diagpkg dll dmg ex ex_ exe hta img ins iso isp jar jnlp js jse lib
  lnk mde mjs msc msi msix msixbundle msp mst nsh pif ps1 scr sct shb sys vb vbe vbs vhd vxd wsc wsf wsh xll`.split(
    /\s+/,
  ),
);

/** Extensions of single compressed files. Gmail checks the name without them. */
const COMPRESSED_EXTENSIONS: ReadonlySet<string> = new Set(['gz', 'bz2', 'z']);

/** Of longer names only the end is checked. */
const MAX_CHECKED_LENGTH = 255;

/**
 * Returns the extension, in lower case, for which Gmail blocks an attachment with this name; null
 * if Gmail accepts it.
 *
 * Only the last extension counts, after those of compressed files: `invoice.pdf.EXE. ` is an `exe`,
 * and so is `setup.exe.gz`. Gmail accepts `setup.exe.txt` as a text file, so it is not blocked
 * here.
 */
export function blockedExtensionOf(filename: string): string | null {
  let name = toVisibleName(filename);
  while (COMPRESSED_EXTENSIONS.has(extensionOf(name)))
    name = toVisibleName(name.slice(0, name.lastIndexOf('.')));
  const extension = extensionOf(name);
  return BLOCKED_EXTENSIONS.has(extension) ? extension : null;
}

/** Returns the last extension of a file name, in lower case; empty if it has none. */
export function extensionOf(filename: string): string {
  const name = toVisibleName(filename);
  const dot = name.lastIndexOf('.');
  return dot === -1 ? '' : name.slice(dot + 1).toLowerCase();
}

/**
 * Removes what can hide the end of a name: invisible characters such as those that change the
 * direction of text, full-width dots, and trailing dots and spaces, which Windows drops.
 */
function toVisibleName(filename: string): string {
  const visible = filename
    .slice(-MAX_CHECKED_LENGTH)
    .replace(/\p{Cf}/gu, '')
    .replaceAll('\uff0e', '.');
  let end = visible.length;
  while (end > 0 && /[.\s]/.test(visible.charAt(end - 1))) end--;
  return visible.slice(0, end);
}

/**
 * Refuses attachments that contain files which Gmail blocks. Their own names were checked when the
 * request was validated.
 *
 * @throws {AppError} `attachment_blocked`
 */
export async function checkAttachments(
  attachments: readonly Attachment[],
  inspector: AttachmentInspector,
): Promise<void> {
  const blocked = await inspector.findBlocked(attachments);
  if (blocked.length > 0) throw toBlockedEntriesError(blocked);
}

function toBlockedEntriesError(blocked: readonly BlockedEntry[]): AppError {
  const errors = blocked.map(
    ({ index, filename, entry, extension }): FieldError => ({
      pointer: `/attachments/${index}`,
      code: 'attachment_blocked',
      detail: `Gmail blocks ".${extension}" files, also inside archives, and "${filename}" contains "${toPrintable(entry)}": remove it, or link to it instead.`,
    }),
  );
  return new AppError('attachment_blocked', { detail: summarize(errors), errors });
}

const MAX_SHOWN = 200;

/**
 * The name of an archive entry can be anything. Shows its end only, without characters that a log
 * or terminal would interpret.
 */
function toPrintable(entry: string): string {
  const shown = entry.length > MAX_SHOWN ? `…${entry.slice(-MAX_SHOWN)}` : entry;
  return shown.toWellFormed().replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd');
}
