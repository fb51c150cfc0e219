import type { StoredClock } from './protocol.ts';

/**
 * Returns the time by the clock of the file when it is opened, in epoch ms.
 *
 * @param stored null for a new file
 * @param wall epoch ms by the wall clock
 */
export function fileTime(stored: StoredClock | null, wall: number): number {
  return stored === null ? wall : stored.file + Math.max(0, wall - stored.wall);
}
