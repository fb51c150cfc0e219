import { expect, test } from 'vitest';
import { isBlockedFilename } from '../../src/core/attachments.ts';

test.each([
  ['setup.exe', 'exe'],
  ['SETUP.EXE', 'exe'],
  ['invoice.pdf.js', 'js'],
  ['archive.ex_', 'ex_'],
  ['image.iso', 'iso'],
  ['.bat', 'bat'],
  ['addin.xll', 'xll'],
])('%s is blocked, as Gmail blocks .%s', (filename, extension) => {
  expect(isBlockedFilename(filename)).toBe(extension);
});

test.each(['setup.exe.', 'setup.exe ', 'setup.exe. . '])('dots and spaces at the end do not hide an extension: %j', (filename) => {
  expect(isBlockedFilename(filename)).toBe('exe');
});

test.each(['invoice.pdf', 'photo.JPG', 'setup.exe.pdf', 'exe', 'README', '', '...', 'data.constructor', 'notes.exercise'])(
  '%j is not blocked',
  (filename) => {
    expect(isBlockedFilename(filename)).toBeNull();
  },
);
