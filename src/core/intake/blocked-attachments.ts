import { AppError, type FieldError, summarize } from '../errors.ts';
import type { BlockedEntry } from '../ports/attachment-inspector.ts';

/** What Gmail refuses to carry: https://support.google.com/mail/answer/6590. */
const BLOCKED_EXTENSIONS: ReadonlySet<string> = new Set(
  `ade adp apk appx appxbundle bat cab chm cmd com cpl diagcab diagcfg diagpkg dll dmg ex ex_ exe hta img ins iso isp jar jnlp js jse lib
  lnk mde mjs msc msi msix msixbundle msp mst nsh pif ps1 scr sct shb sys vb vbe vbs vhd vxd wsc wsf wsh xll`.split(
    /\s+/,
  ),
);

/** One file, compressed. Gmail judges it by the name without this. */
const COMPRESSED_EXTENSIONS: ReadonlySet<string> = new Set(['gz', 'bz2', 'z']);

/** Longer names are judged by their end. */
const MAX_JUDGED_LENGTH = 255;

/**
 * The extension, in lower case, for which Gmail would refuse an attachment of this name; null if the name is fine. Only the last extension
 * counts, save those of compressed files: `invoice.pdf.EXE. ` is an `exe`, and so is `setup.exe.gz`. `setup.exe.txt` is a text: Gmail takes
 * it, and what Gmail takes is not refused here.
 */
export function blockedExtensionOf(filename: string): string | null {
  let name = plainName(filename);
  while (COMPRESSED_EXTENSIONS.has(extensionOf(name))) name = plainName(name.slice(0, name.lastIndexOf('.')));
  const extension = extensionOf(name);
  return BLOCKED_EXTENSIONS.has(extension) ? extension : null;
}

/** The last extension of a file's name, in lower case; empty if there is none. */
export function extensionOf(filename: string): string {
  const name = plainName(filename);
  const dot = name.lastIndexOf('.');
  return dot === -1 ? '' : name.slice(dot + 1).toLowerCase();
}

/**
 * A name without what hides its end: invisible characters, among them those that turn the direction of text, full-width dots, and the dots
 * and spaces at the end that Windows drops.
 */
function plainName(filename: string): string {
  const visible = filename
    .slice(-MAX_JUDGED_LENGTH)
    .replace(/\p{Cf}/gu, '')
    .replaceAll('\uff0e', '.');
  let end = visible.length;
  while (end > 0 && /[.\s]/.test(visible.charAt(end - 1))) end--;
  return visible.slice(0, end);
}

/** The refusal of attachments that are fine by name, and have in them what Gmail blocks: `attachment_blocked`. */
export function toBlockedEntriesError(found: readonly BlockedEntry[]): AppError {
  const errors = found.map(
    ({ index, filename, entry, extension }): FieldError => ({
      pointer: `/attachments/${index}`,
      code: 'attachment_blocked',
      detail: `Gmail does not carry ".${extension}" files, also not in an archive, and "${filename}" has "${toReadable(entry)}" in it: take it out, or link to it.`,
    }),
  );
  return new AppError('attachment_blocked', { detail: summarize(errors), errors });
}

const MAX_SHOWN = 200;

/** A name from inside an archive can be anything: only its end is shown, and nothing that a log or a terminal would act upon. */
function toReadable(entry: string): string {
  const shown = entry.length > MAX_SHOWN ? `…${entry.slice(-MAX_SHOWN)}` : entry;
  return shown.toWellFormed().replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd');
}
