import { createInflateRaw } from 'node:zlib';
import { fromBufferPromise, getFileNameLowLevel, type ZipFile, type Entry as ZipRecord } from 'yauzl';
import { type Chunks, collect, type Entry, inflate, toChunks } from './chunks.ts';
import type { ScanBudget } from './scan-budget.ts';

const STORED = 0;

/**
 * Reads the entries that the central directory of a zip lists. The names in an encrypted zip can be
 * read too, and Gmail reads them.
 *
 * @throws {Error} when the zip is damaged, possibly after some entries
 */
export async function* readZip(chunks: Chunks, budget: ScanBudget): AsyncGenerator<Entry> {
  const bytes = await collect(chunks);
  // Names are decoded here, because yauzl rejects names that lead out of the directory.
  const zip = await fromBufferPromise(bytes, { decodeStrings: false, validateEntrySizes: false });
  for await (const record of zip.eachEntry()) {
    const name = getFileNameLowLevel(
      record.generalPurposeBitFlag,
      record.fileNameRaw,
      record.extraFields,
      false,
    );
    yield { name, content: record.canDecodeFileData() ? contentOf(record, zip, bytes, budget) : null };
  }
}

async function* contentOf(record: ZipRecord, zip: ZipFile, bytes: Buffer, budget: ScanBudget): Chunks {
  const { fileDataStart } = await zip.readLocalFileHeaderPromise(record, { minimal: true });
  const data = toChunks(bytes.subarray(fileDataStart, fileDataStart + record.compressedSize));
  yield* record.compressionMethod === STORED ? data : inflate(data, createInflateRaw(), budget);
}
