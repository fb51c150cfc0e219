import { extract } from 'tar-stream';
import { type Chunks, type Entry, feed, sliced } from './chunks.ts';

/**
 * Reads the entries of a tar in order. The content of an entry can be read until the next is
 * requested.
 *
 * @throws {Error} when the tar is damaged, possibly after some entries
 */
export async function* readTar(chunks: Chunks): AsyncGenerator<Entry> {
  const files = extract();
  const feeding = feed(sliced(chunks), files);
  try {
    for await (const file of files) {
      const bytes = (file as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
      const { name, type } = file.header;
      yield { name: type === 'directory' ? `${name}/` : name, content: contentOf(bytes) };
      while (!(await bytes.next()).done);
    }
  } finally {
    await feeding;
  }
}

/**
 * Reads the content of an entry. If it is stopped early, the loop above reads the rest: ending the
 * stream of an entry would end the whole archive.
 */
async function* contentOf(bytes: AsyncIterator<Uint8Array>): Chunks {
  for (let next = await bytes.next(); !next.done; next = await bytes.next()) yield next.value;
}
