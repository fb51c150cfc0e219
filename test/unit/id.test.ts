import { describe, expect, test } from 'vitest';
import { createId, messageIdFrom } from '../../src/core/id.ts';

const SEED = '00112233445566778899aabbccddeeff';

describe('a new id', () => {
  test('is unique, and differs from its predecessors in 96 random bits', () => {
    const ids = Array.from({ length: 2000 }, () => createId('msg'));
    for (const id of ids) expect(id).toMatch(/^msg_[0-9a-f]{32}$/);
    expect(new Set(ids.map((id) => id.slice(-24))).size).toBe(ids.length);
  });

  test('mostly begins like the one before, so that an index of ids changes few pages', () => {
    const ids = Array.from({ length: 2000 }, () => createId('msg'));
    expect(new Set(ids.map((id) => id.slice(0, 'msg_'.length + 8))).size).toBeLessThan(10);
  });
});

describe('the message id derived from a seed', () => {
  test('has the format of any message id', () => {
    expect(messageIdFrom(SEED, 0)).toMatch(/^msg_[0-9a-f]{32}$/);
    expect(messageIdFrom(SEED, 0)).toHaveLength(createId('msg').length);
  });

  test('is the same for the same seed and index', () => {
    expect(messageIdFrom(SEED, 7)).toBe(messageIdFrom(SEED, 7));
  });

  test('differs for each index and seed, and does not reveal the seed', () => {
    const seeds = Array.from({ length: 20 }, (_, i) => `${SEED}${i}`);
    const ids = seeds.flatMap((seed) => Array.from({ length: 100 }, (_, i) => messageIdFrom(seed, i)));
    expect(new Set(ids).size).toBe(2000);
    expect(ids.join()).not.toContain(SEED.slice(0, 8));
  });
});
