/** What Gmail refuses to carry: https://support.google.com/mail/answer/6590. */
const BLOCKED_EXTENSIONS: ReadonlySet<string> = new Set(
  `ade adp apk appx appxbundle bat cab chm cmd com cpl diagcab diagcfg diagpkg dll dmg ex ex_ exe hta img ins iso isp jar jnlp js jse lib
  lnk mde mjs msc msi msix msixbundle msp mst nsh pif ps1 scr sct shb sys vb vbe vbs vhd vxd wsc wsf wsh xll`.split(/\s+/),
);

/**
 * The extension, in lower case, for which Gmail would refuse an attachment of this name; null if the name is fine. Only the last extension
 * counts, and trailing dots and spaces do not, as on Windows: `invoice.pdf.EXE. ` is an `exe`.
 */
export function isBlockedFilename(filename: string): string | null {
  const end = filename.replace(/[. ]+$/, '');
  const extension = end.slice(end.lastIndexOf('.') + 1).toLowerCase();
  return end.includes('.') && BLOCKED_EXTENSIONS.has(extension) ? extension : null;
}
