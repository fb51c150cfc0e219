import { blockedExtensionOf } from '../../core/intake/blocked-attachments.ts';
import type { AttachmentInspector, BlockedEntry } from '../../core/ports/attachment-inspector.ts';
import { detectKind, HEAD_BYTES, mayBeArchive } from './archive-type.ts';
import { type Chunks, type Entry, peek, toChunks } from './chunks.ts';
import { createScanBudget, type ScanBudget } from './scan-budget.ts';

/** Maximum depth: an archive and three levels inside it. A .tar.gz counts as two. */
const MAX_DEPTH = 4;

type Match = Pick<BlockedEntry, 'entry' | 'extension'>;

/**
 * Creates an inspector of zip, gzip and tar archives, and of those inside them.
 *
 * @param openBudget creates the budget that the attachments of one message share
 */
export function createArchiveInspector(openBudget: () => ScanBudget = createScanBudget): AttachmentInspector {
  return {
    async findBlocked(attachments) {
      const budget = openBudget();
      const blocked: BlockedEntry[] = [];
      for (const [index, { filename, content }] of attachments.entries()) {
        const found = await findBlockedIn(filename, toChunks(content), 1, budget);
        if (found !== null) blocked.push({ index, filename, ...found });
      }
      return blocked;
    },
  };
}

async function findBlockedIn(
  name: string,
  content: Chunks,
  depth: number,
  budget: ScanBudget,
): Promise<Match | null> {
  if (depth > MAX_DEPTH || !mayBeArchive(name)) return null;
  try {
    for await (const entry of readEntries(name, content, budget)) {
      budget.countEntry();
      const found = await inspectEntry(entry, depth, budget);
      if (found !== null) return found;
    }
  } catch {
    // The archive is damaged or exceeds the budget. It passes, because Gmail decides about such
    // files.
  } finally {
    await content.return();
  }
  return null;
}

/** Loads each reader on first use. */
async function* readEntries(name: string, content: Chunks, budget: ScanBudget): AsyncGenerator<Entry> {
  const { head, all } = await peek(content, HEAD_BYTES);
  switch (detectKind(name, head)) {
    case 'zip':
      return yield* (await import('./zip.ts')).readZip(all, budget);
    case 'gzip':
      return yield* (await import('./gzip.ts')).readGzip(name, head, all, budget);
    case 'tar':
      return yield* (await import('./tar.ts')).readTar(all);
  }
}

async function inspectEntry(
  { name, content }: Entry,
  depth: number,
  budget: ScanBudget,
): Promise<Match | null> {
  // A directory is not blocked: its name may be example.com.
  if (name.endsWith('/')) return null;
  const filename = name.slice(name.lastIndexOf('/') + 1);
  const extension = blockedExtensionOf(filename);
  if (extension !== null) return { entry: name, extension };
  const found = content && (await findBlockedIn(filename, content, depth + 1, budget));
  return found && { ...found, entry: `${name}/${found.entry}` };
}
