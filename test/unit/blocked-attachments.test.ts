import { expect, test } from 'vitest';
import { blockedExtensionOf } from '../../src/core/intake/blocked-attachments.ts';

test.each([
  ['setup.exe', 'exe'],
  ['SETUP.EXE', 'exe'],
  ['invoice.pdf.js', 'js'],
  ['archive.ex_', 'ex_'],
  ['image.iso', 'iso'],
  ['.bat', 'bat'],
  ['addin.xll', 'xll'],
])('%s is blocked, because Gmail blocks .%s', (filename, extension) => {
  expect(blockedExtensionOf(filename)).toBe(extension);
});

test.each(['setup.exe.', 'setup.exe ', 'setup.exe. . '])(
  'trailing dots and spaces do not hide an extension: %j',
  (filename) => {
    expect(blockedExtensionOf(filename)).toBe('exe');
  },
);

test.each([
  'setup.exe.gz',
  'setup.exe.bz2',
  'setup.exe.Z',
  'setup.exe.gz.bz2',
  'setup.exe.gz. ',
  'setup.exe..gz',
])('a compressed file is checked by the name inside: %j', (filename) => {
  expect(blockedExtensionOf(filename)).toBe('exe');
});

test.each([
  'setup\uff0eexe',
  'setup.e\u200bxe',
  'setup.exe\u202e',
  'invoice\u202efdp.exe',
  'setup.exe\u3000',
  'setup.exe\uff0e\u00a0',
])('invisible characters do not hide an extension: %j', (filename) => {
  expect(blockedExtensionOf(filename)).toBe('exe');
});

test('only the end of a very long name is checked', () => {
  expect(blockedExtensionOf(`${'. '.repeat(100_000)}x.exe`)).toBe('exe');
  expect(blockedExtensionOf(`setup.exe${'.gz'.repeat(100_000)}`)).toBeNull();
});

test.each([
  'invoice.pdf',
  'photo.JPG',
  'setup.exe.pdf',
  'setup.exe.txt',
  'dump.sql.gz',
  'exe.gz',
  '.gz',
  'setup.exe.7z',
  'exe',
  'README',
  '',
  '...',
  'data.constructor',
  'notes.exercise',
])('%j is not blocked', (filename) => {
  expect(blockedExtensionOf(filename)).toBeNull();
});
