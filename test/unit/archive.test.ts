import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createArchiveInspector } from '../../src/adapters/archive/archive-inspector.ts';
import { createScanBudget } from '../../src/adapters/archive/scan-budget.ts';
import type { Attachment } from '../../src/core/message/message.ts';
import { tar, zip } from '../helpers/archives.ts';

const EXE = Buffer.from('MZ');
const NOTES = Buffer.from('Nothing but text.');

function attach(filename: string, content: Buffer): Attachment {
  return { filename, content, contentType: null, contentId: null };
}

/** Returns the blocked entry that is found in one attachment, or null. */
async function find(filename: string, content: Buffer): Promise<string | null> {
  const [found] = await createArchiveInspector().findBlocked([attach(filename, content)]);
  return found ? found.entry : null;
}

/** Creates a gzip with a name in its header. */
function namedGzip(name: string, content: Buffer, extra = Buffer.alloc(0)): Buffer {
  const plain = gzipSync(content);
  const flags = 8 | (extra.length > 0 ? 4 : 0);
  const length = Buffer.from([extra.length & 255, extra.length >> 8]);
  const head = Buffer.concat([plain.subarray(0, 3), Buffer.from([flags]), plain.subarray(4, 10)]);
  return Buffer.concat([
    head,
    ...(extra.length > 0 ? [length, extra] : []),
    Buffer.from(`${name}\0`, 'latin1'),
    plain.subarray(10),
  ]);
}

describe('finds a blocked file', () => {
  test('in a zip, a tar and a tar.gz, with its full path', async () => {
    const files = [
      ['readme.txt', NOTES],
      ['bin/Setup.EXE', EXE],
    ] as const;
    expect(await find('tools.zip', zip(files))).toBe('bin/Setup.EXE');
    expect(await find('tools.zip', zip(files, { method: 0 }))).toBe('bin/Setup.EXE');
    expect(await find('tools.tar', await tar(files))).toBe('bin/Setup.EXE');
    expect(await find('tools.tgz', gzipSync(await tar(files)))).toBe('tools.tar/bin/Setup.EXE');
    expect(await find('tools.tar.gz', gzipSync(await tar(files)))).toBe('tools.tar/bin/Setup.EXE');
    expect(await find('tools.taz', gzipSync(await tar(files)))).toBe('tools.tar/bin/Setup.EXE');
  });

  test('in a gzip, by the name in its header', async () => {
    expect(await find('report.gz', namedGzip('setup.exe', EXE))).toBe('setup.exe');
    expect(await find('report.gz', namedGzip('setup.exe', EXE, Buffer.alloc(40, 'x')))).toBe('setup.exe');
    expect(await find('report.gz', namedGzip('report.csv', NOTES))).toBeNull();
  });

  test('behind large entries and harmless archives', async () => {
    const large = Buffer.alloc(3_000_000, 'x');
    const files = [
      ['a.dat', large],
      ['b.zip', zip([['c.txt', large]])],
      ['d.gz', gzipSync(large)],
      ['e.js'],
    ] as const;
    expect(await find('a.zip', zip(files))).toBe('e.js');
    expect(await find('a.tar', await tar(files))).toBe('e.js');
    expect(await find('a.tgz', gzipSync(await tar(files)))).toBe('a.tar/e.js');
  });

  test('in nested archives, up to three levels deep', async () => {
    const inner = zip([['x.bat']]);
    expect(await find('1.zip', zip([['2.zip', inner]]))).toBe('2.zip/x.bat');
    expect(await find('1.tgz', gzipSync(await tar([['d/2.zip', inner]])))).toBe('1.tar/d/2.zip/x.bat');
    const third = zip([['3.zip', zip([['4.zip', inner]])]]);
    expect(await find('1.zip', zip([['2.tar', await tar([['3.zip', zip([['4.zip', inner]])]])]]))).toBe(
      '2.tar/3.zip/4.zip/x.bat',
    );
    expect(await find('0.zip', zip([['1.zip', zip([['2.zip', third]])]]))).toBeNull();
  });

  test('in an archive with a generic name', async () => {
    const bytes = zip([['x.exe']]);
    for (const name of ['backup', 'backup.bin', 'backup.tmp', 'backup.tar', 'backup.gz', 'backup.zip. ']) {
      expect(await find(name, bytes), name).toBe('x.exe');
    }
    expect(await find('backup', gzipSync(await tar([['x.exe']])))).toBe('backup/x.exe');
  });

  test('by its name in any encoding', async () => {
    const names = [
      'a/b\\c.exe',
      '../../x.exe',
      '/x.exe',
      'C:\\x.exe',
      'x.exe. ',
      'x.exe.gz',
      'ü.exe',
      '漢字.exe',
      '\u202efdp.exe',
    ];
    for (const name of names) expect(await find('a.zip', zip([[name]])), name).not.toBeNull();
    expect(await find('a.zip', zip([[Buffer.from([0xff, 0xfe, 0x2e, 0x6a, 0x73])]]))).not.toBeNull();
    expect(await find('a.zip', zip([[Buffer.from([0x81, 0x2e, 0x6a, 0x73])]], { flags: 0 }))).toBe('ü.js');
    expect(await find('a.zip', zip([[`${'d'.repeat(60_000)}.exe`]]))).not.toBeNull();
    expect(await find('a.tar', await tar([[`${'d/'.repeat(200)}x.exe`]]))).toBe(`${'d/'.repeat(200)}x.exe`);
  });

  test('in an encrypted zip, whose names are not encrypted', async () => {
    expect(await find('a.zip', zip([['x.exe', EXE]], { flags: 1 }))).toBe('x.exe');
    expect(await find('a.zip', zip([['b.zip', zip([['x.exe']])]], { flags: 1 }))).toBeNull();
  });

  test('once in each attachment, and reports its index', async () => {
    const found = await createArchiveInspector().findBlocked([
      attach('a.zip', zip([['x.exe'], ['y.exe']])),
      attach('b.pdf', NOTES),
      attach('c.zip', Buffer.from('PK\x03\x04 damaged')),
      attach('d.tar', await tar([['z.vbs']])),
    ]);
    expect(found).toEqual([
      { index: 0, filename: 'a.zip', entry: 'x.exe', extension: 'exe' },
      { index: 3, filename: 'd.tar', entry: 'z.vbs', extension: 'vbs' },
    ]);
  });
});

describe('finds nothing', () => {
  test('in an archive without blocked files', async () => {
    const files = [
      ['readme.txt', NOTES],
      ['setup.exe.txt', NOTES],
      ['example.com/'],
      ['example.com/index.html', NOTES],
    ] as const;
    expect(await find('a.zip', zip(files))).toBeNull();
    expect(await find('a.tar', await tar(files))).toBeNull();
    expect(await find('a.tgz', gzipSync(await tar(files)))).toBeNull();
    expect(await find('a.zip', zip([]))).toBeNull();
  });

  test('in documents, which are zip files too', async () => {
    const bytes = zip([['macro.js']]);
    for (const name of ['a.docx', 'a.xlsx', 'a.pptx', 'a.odt', 'a.epub', 'a.pdf'])
      expect(await find(name, bytes), name).toBeNull();
    expect(await find('a.zip', zip([['a.docx', bytes]]))).toBeNull();
  });

  test('in a file that has only the name of an archive', async () => {
    for (const name of ['a.zip', 'a.tar', 'a.gz', 'a.tgz', 'a']) {
      expect(await find(name, NOTES), name).toBeNull();
      expect(await find(name, Buffer.alloc(0)), name).toBeNull();
      expect(await find(name, Buffer.alloc(2000)), name).toBeNull();
    }
  });
});

describe('accepts a damaged archive', () => {
  test('wherever it is truncated, and still reports a file found before that', async () => {
    const files = [
      ['x.exe', EXE],
      ['notes.txt', Buffer.alloc(5000, 'x')],
    ] as const;
    const archives = { 'a.zip': zip(files), 'a.tar': await tar(files), 'a.tgz': gzipSync(await tar(files)) };
    for (const [name, bytes] of Object.entries(archives)) {
      for (let length = 0; length < bytes.length; length += 7) {
        expect([null, 'x.exe', 'a.tar/x.exe']).toContain(await find(name, bytes.subarray(0, length)));
      }
    }
    expect(await find('a.tar', archives['a.tar'].subarray(0, 1000))).toBe('x.exe');
  });

  test('with any bytes', async () => {
    const nested = zip([
      ['a.txt', NOTES],
      ['b.zip', zip([['c.txt']])],
    ]);
    const valid = [nested, await tar([['a.gz', gzipSync(NOTES)]]), gzipSync(await tar([['a.zip', nested]]))];
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 8 });
    const mangled = fc.tuple(fc.constantFrom(...valid), changes).map(([bytes, list]) => {
      const copy = Buffer.from(bytes);
      for (const [at, value] of list) copy[at % copy.length] = value;
      return copy;
    });
    const magic = fc.constantFrom('', 'PK\x03\x04', 'PK\x05\x06', '\x1f\x8b\x08\x00', '\x1f\x8b\x08\x0c');
    const noise = fc
      .tuple(magic, fc.uint8Array({ maxLength: 2000 }))
      .map(([head, tail]) => Buffer.concat([Buffer.from(head, 'latin1'), tail]));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('a.zip', 'a.tar', 'a.tgz', 'a.gz', 'a'),
        fc.oneof(mangled, noise),
        async (name, bytes) => {
          await expect(createArchiveInspector().findBlocked([attach(name, bytes)])).resolves.toBeInstanceOf(
            Array,
          );
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('a decompression bomb', () => {
  const MIB = 1024 * 1024;
  const BUDGET = 64 * MIB;

  async function spentOn(...attachments: Attachment[]) {
    const budget = createScanBudget();
    const found = await createArchiveInspector(() => budget).findBlocked(attachments);
    return { spent: budget.spent, found: found.map(({ entry }) => entry) };
  }

  function expectAllSpent(spent: number): void {
    expect(spent).toBeGreaterThan(BUDGET - MIB);
    expect(spent).toBeLessThanOrEqual(BUDGET);
  }

  const zeros = Buffer.alloc(70 * MIB);

  test('is inflated no further than the budget, in a tar.gz and a zip', async () => {
    const header = (await tar([['zeros', NOTES]])).subarray(0, 512);
    const sized = Buffer.from(header);
    sized.write(`${zeros.length.toString(8).padStart(11, '0')} `, 124);
    sized.write('        ', 148);
    sized.write(
      `${sized
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    );
    const bomb = Buffer.concat([sized, zeros]);
    for (const attachment of [attach('a.tar.gz', gzipSync(bomb)), attach('a.zip', zip([['a.tar', bomb]]))]) {
      const { spent, found } = await spentOn(attachment);
      expect(found).toEqual([]);
      expectAllSpent(spent);
    }
  });

  test('costs no more when repeated, and hides no file that can be found without inflating', async () => {
    const inner = zip([['c.zip', zeros]]);
    const bomb = zip([['1.zip', inner], ['2.zip', zeros], ['3.zip', zeros], ['x.exe']]);
    const { spent, found } = await spentOn(
      ...Array(10).fill(attach('a.zip', bomb)),
      attach('b.zip', zip([['y.exe']])),
    );
    expect(found).toEqual([...Array(10).fill('x.exe'), 'y.exe']);
    expectAllSpent(spent);
  });

  test('of small files is opened only within the budget, and all their names are checked', async () => {
    const small = Array.from({ length: 3000 }, (_, i) => [`${i}`, NOTES] as const);
    const { spent, found } = await spentOn(attach('a.zip', zip([...small, ['x.exe']])));
    expect(found).toEqual(['x.exe']);
    expectAllSpent(spent);
  });

  test('is not inflated if its name is not that of an archive, or it is a directory', async () => {
    const files = zip([['example.com/'], ['zeros.csv', zeros]]);
    const { spent, found } = await spentOn(attach('a.zip', files), attach('zeros.sql', gzipSync(zeros)));
    expect({ spent, found }).toEqual({ spent: 0, found: [] });
  });

  test('of entries is read up to 10,000 entries', async () => {
    const names = (count: number) => Array.from({ length: count }, (_, i) => [`${i}.txt`] as const);
    expect(await find('a.zip', zip([...names(9_999), ['x.exe']]))).toBe('x.exe');
    expect(await find('a.zip', zip([...names(10_000), ['x.exe']]))).toBeNull();
    expect(await find('a.tar', await tar([...names(10_000), ['x.exe']]))).toBeNull();
  });

  test('does not block the event loop', async () => {
    const files = Array.from({ length: 5000 }, (_, i) => [`${i}.txt`, NOTES] as const);
    for (const [name, bytes] of Object.entries({ 'a.tar': await tar(files), 'a.zip': zip(files) })) {
      let turns = 0;
      let done = false;
      const count = () => {
        turns++;
        if (!done) setImmediate(count);
      };
      count();
      await find(name, bytes);
      done = true;
      expect(turns, name).toBeGreaterThan(20);
    }
  });
});
