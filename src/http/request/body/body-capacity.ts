import { AppError } from '../../../core/errors.ts';

/** Counts the bytes of one request body in memory. */
export interface BodyHold {
  /**
   * Throws if a body of this declared length does not fit.
   *
   * @throws {AppError} `queue_full`
   */
  check(bytes: number): void;
  /**
   * Counts bytes that have arrived.
   *
   * @throws {AppError} `queue_full` if they do not fit; none of them is counted
   */
  add(bytes: number): void;
  /**
   * Stops counting the body: it is no longer in memory, or counted elsewhere. May be called more
   * than once.
   */
  release(): void;
}

/**
 * Bounds the bytes of all request bodies in memory that are being read or parsed, or are not
 * accepted yet.
 */
export interface BodyCapacity {
  /**
   * Starts counting a body.
   *
   * @param key Name of the API key that sends it.
   */
  open(key: string): BodyHold;
  /** Returns the bytes of all bodies in memory. */
  used(): number;
}

/**
 * Creates the bound. An API key may use at most as many bytes as it leaves free, so that slow
 * uploads of one key never take all the capacity. If a key has one body only, that one just needs
 * to fit into the free capacity.
 *
 * @param capacity Returns the bytes that all bodies may currently use together.
 */
export function createBodyCapacity(capacity: () => number): BodyCapacity {
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
        const total = capacity();
        const own = usedBy.get(key) ?? 0;
        if (used + bytes > total)
          throw queueFull(
            `The request bodies in memory use ${used} of ${total} bytes, and this one does not fit.`,
          );
        if (own === held || own + bytes <= total - used - bytes) return;
        throw queueFull(
          `The request bodies of this key use ${own} of ${total} bytes, and a part is reserved for other keys: send fewer at once.`,
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

function queueFull(detail: string): AppError {
  return new AppError('queue_full', { detail });
}
