import { extract } from 'tar-stream';
import { type Chunks, type Entry, feed, sliced } from './chunks.ts';

/**
 * What a tar holds, in order. The content of an entry is there until the next entry is asked for.
 *
 * @throws {Error} when it is damaged, also after some entries
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

/** Stopped early, it leaves the rest for the loop above: to end the stream of one entry would end the whole archive. */
async function* contentOf(bytes: AsyncIterator<Uint8Array>): Chunks {
  for (let next = await bytes.next(); !next.done; next = await bytes.next()) yield next.value;
}
