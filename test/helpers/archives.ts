import { buffer } from 'node:stream/consumers';
import { crc32, deflateRawSync } from 'node:zlib';
import { pack } from 'tar-stream';

/** Names and contents. A name that ends in / is a directory. */
export type Files = readonly (readonly [name: string | Buffer, content?: Buffer])[];

export interface ZipOptions {
  /** 0 stored, 8 deflated. */
  readonly method?: number;
  /** General purpose bits: 1 encrypted, 0x800 names in UTF-8. */
  readonly flags?: number;
}

/**
 * Creates a zip as PKWARE's APPNOTE defines it: local headers and contents, central directory, its
 * end.
 */
export function zip(files: Files, { method = 8, flags = 0x800 }: ZipOptions = {}): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, content = Buffer.alloc(0)] of files) {
    const nameBytes = Buffer.from(name);
    const data = method === 8 ? deflateRawSync(content) : content;
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(flags, 2);
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(nameBytes.length, 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, nameBytes, data]);
    locals.push(local);
    directory.push(Buffer.from('PK\x01\x02\x14\x00'), common, rest, nameBytes);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(files.length, 4);
  end.writeUInt16LE(files.length, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...locals, central, Buffer.from('PK\x05\x06'), end]);
}

export async function tar(files: readonly (readonly [name: string, content?: Buffer])[]): Promise<Buffer> {
  const packed = pack();
  for (const [name, content = Buffer.alloc(0)] of files)
    packed.entry({ name, type: name.endsWith('/') ? 'directory' : 'file' }, content);
  packed.finalize();
  return buffer(packed as AsyncIterable<Buffer>);
}
