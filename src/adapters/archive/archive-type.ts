import { extensionOf } from '../../core/intake/blocked-attachments.ts';

export type ArchiveKind = 'zip' | 'gzip' | 'tar';

const ARCHIVES: ReadonlySet<string> = new Set(['zip', 'zipx', 'gz', 'gzip', 'tgz', 'taz', 'tar']);

/** Names that say nothing of what is inside. Office documents, EPUB and the like are zip files too, and are never opened. */
const GENERIC: ReadonlySet<string> = new Set(['', 'bak', 'bin', 'dat', 'download', 'file', 'old', 'tmp']);

/** Whether a file of this name is looked into, if its first bytes are those of an archive. */
export function mayBeArchive(name: string): boolean {
  const extension = extensionOf(name);
  return ARCHIVES.has(extension) || GENERIC.has(extension);
}

/** How many bytes {@link detectKind} wants to see: one block of a tar. */
export const HEAD_BYTES = 512;

const TAR_MAGIC_OFFSET = 257;

const ZIP_SIGNATURES: ReadonlySet<string> = new Set(['504b0304', '504b0506']);

/** What an archive is, by its first bytes. What is called a zip may have something else before it: a program that unpacks it. */
export function detectKind(name: string, head: Buffer): ArchiveKind | null {
  if (ZIP_SIGNATURES.has(head.toString('hex', 0, 4))) return 'zip';
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  if (head.toString('latin1', TAR_MAGIC_OFFSET, TAR_MAGIC_OFFSET + 5) === 'ustar') return 'tar';
  return extensionOf(name) === 'zip' ? 'zip' : null;
}
