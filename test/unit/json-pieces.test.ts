import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toJsonPieces } from '../../src/http/json-pieces.ts';

async function serialize(value: unknown): Promise<string[]> {
  const pieces: string[] = [];
  for await (const piece of toJsonPieces(value)) pieces.push(piece);
  return pieces;
}

/** Long enough that pieces end within it. */
const longString = fc
  .tuple(
    fc.array(fc.constantFrom('a', '\n', '"', 'ä', '🎉', '\ud800', '\udc00', '\0'), {
      minLength: 1,
      maxLength: 5,
    }),
    fc.nat(3),
  )
  .map(([units, offset]) => 'x'.repeat(offset) + units.join('').repeat(40_000));

describe('JSON in pieces', () => {
  test('is the same text as JSON.stringify makes, and no piece is much longer than 64 K characters', async () => {
    const value = fc.oneof(
      { weight: 5, arbitrary: fc.jsonValue() },
      longString,
      fc.dictionary(longString, fc.oneof(longString, fc.constant(undefined)), { maxKeys: 2 }),
      fc.array(longString, { maxLength: 2 }),
    );
    await fc.assert(
      fc.asyncProperty(value, async (json) => {
        const pieces = await serialize(json);
        expect(pieces.join('') === JSON.stringify(json)).toBe(true);
        // Each character is at most six in JSON.
        expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(7 * 64 * 1024);
      }),
      { numRuns: 300 },
    );
  });

  test('leaves out fields without a value, and has null for them in lists', async () => {
    expect((await serialize({ a: undefined, b: [undefined, null, true, -0] })).join('')).toBe(
      '{"b":[null,null,true,0]}',
    );
  });

  test('has UTF-8 bytes as the text that they are, and other bytes as some text', async () => {
    const text = 'Grüße\n"🎉"'.repeat(40_000);
    expect(JSON.parse((await serialize({ text: Buffer.from(text) })).join('')).text === text).toBe(true);
    const bytesOf = async (...bytes: number[]) => (await serialize(Uint8Array.from(bytes))).join('');
    expect(await bytesOf(0xff)).not.toBe(await bytesOf(0xfe));
  });
});
