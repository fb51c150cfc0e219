import { extensionOf } from '../../core/intake/blocked-attachments.ts';

export type ArchiveKind = 'zip' | 'gzip' | 'tar';

const ARCHIVES: ReadonlySet<string> = new Set(['zip', 'zipx', 'gz', 'gzip', 'tgz', 'taz', 'tar']);

/**
 * Extensions that do not reveal the type of the content. Files with other extensions are never
 * opened: office documents, EPUB and the like are zip files too.
 */
const GENERIC: ReadonlySet<string> = new Set(['', 'bak', 'bin', 'dat', 'download', 'file', 'old', 'tmp']);

/** Returns whether a file of this name is inspected if its first bytes are those of an archive. */
export function mayBeArchive(name: string): boolean {
  const extension = extensionOf(name);
  return ARCHIVES.has(extension) || GENERIC.has(extension);
}

/** Number of bytes that {@link detectKind} needs: one block of a tar. */
export const HEAD_BYTES = 512;

const TAR_MAGIC_OFFSET = 257;

const ZIP_SIGNATURES: ReadonlySet<string> = new Set(['504b0304', '504b0506']);

/**
 * Detects the kind of an archive by its first bytes. A file named .zip counts as a zip in any case,
 * because a self-extracting one begins with a program.
 */
export function detectKind(name: string, head: Buffer): ArchiveKind | null {
  if (ZIP_SIGNATURES.has(head.toString('hex', 0, 4))) return 'zip';
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  if (head.toString('latin1', TAR_MAGIC_OFFSET, TAR_MAGIC_OFFSET + 5) === 'ustar') return 'tar';
  return extensionOf(name) === 'zip' ? 'zip' : null;
}
