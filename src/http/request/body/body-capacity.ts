import { AppError } from '../../../core/errors.ts';

/** The bytes of one request body that are in memory. */
export interface BodyHold {
  /**
   * Refuses a body that would not fit, by the length that it declares.
   *
   * @throws {AppError} `queue_full`
   */
  check(bytes: number): void;
  /**
   * Adds bytes that have arrived.
   *
   * @throws {AppError} `queue_full` when there is no room for them: none of them is counted
   */
  add(bytes: number): void;
  /** The body is no longer in memory, or is counted elsewhere. May be called more than once. */
  release(): void;
}

/** Bounds the bytes of all request bodies in memory: those that are being read, parsed, or not yet accepted. */
export interface BodyCapacity {
  /** @param key Name of the API key that sends the body. */
  open(key: string): BodyHold;
  /** Bytes of all bodies in memory. */
  used(): number;
}

/**
 * A key may hold as many bytes as it leaves free for others, so that slow uploads of one key never take all the room. One body of each
 * key passes whatever the other bodies of that key would allow, as long as there is room at all.
 *
 * @param room Bytes that all bodies may hold together, as of now.
 */
export function createBodyCapacity(room: () => number): BodyCapacity {
  const usedBy = new Map<string, number>();
  let used = 0;

  function count(key: string, bytes: number) {
    used += bytes;
    const own = (usedBy.get(key) ?? 0) + bytes;
    if (own > 0) usedBy.set(key, own);
    else usedBy.delete(key);
  }

  return {
    used: () => used,
    open(key) {
      let held = 0;
      let released = false;

      function check(bytes: number) {
        const total = room();
        const own = usedBy.get(key) ?? 0;
        if (used + bytes > total)
          throw full(
            `The request bodies in memory take ${used} bytes of ${total}, and this one does not fit.`,
          );
        if (own === held || own + bytes <= total - used - bytes) return;
        throw full(
          `The request bodies of this key take ${own} bytes of ${total}, and a part is kept for other keys: send fewer at once.`,
        );
      }

      return {
        check,
        add(bytes) {
          if (released) return;
          check(bytes);
          held += bytes;
          count(key, bytes);
        },
        release() {
          if (!released) count(key, -held);
          released = true;
        },
      };
    },
  };
}

function full(detail: string): AppError {
  return new AppError('queue_full', { detail });
}
