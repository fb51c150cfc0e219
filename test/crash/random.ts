import { hash } from 'node:crypto';

/** Returns numbers from 0 to 1, the same ones for the same seed. */
export type Random = () => number;

export function createRandom(seed: string): Random {
  let drawn = 0;
  return () => hash('sha256', `${seed} ${drawn++}`, 'buffer').readUInt32BE() / 2 ** 32;
}

/** Returns an integer from `least` to `most`, both included. */
export function between(random: Random, least: number, most: number): number {
  return least + Math.floor(random() * (most - least + 1));
}

export function oneOf<T>(random: Random, choices: readonly T[]): T {
  const choice = choices[Math.floor(random() * choices.length)];
  if (choice === undefined) throw new Error('no choices');
  return choice;
}
