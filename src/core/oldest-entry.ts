/** Calls after which the iterator is replaced, at least. */
const MIN_CALLS = 64;

/**
 * Returns a function that returns the oldest entry of a Map. It continues where its last call ended:
 * a new iterator passes all the entries deleted before the oldest one, until V8 rebuilds the Map.
 *
 * V8 retains every table that the Map has had since its iterator last advanced, with entries deleted
 * meanwhile. So the iterator is replaced after as many calls as the Map has entries.
 *
 * @param map Its values are objects. A key is deleted before it gets another value.
 */
export function createOldestEntry<Key, Value extends object>(
  map: ReadonlyMap<Key, Value>,
): () => readonly [Key, Value] | undefined {
  let entries = map.entries();
  let last: readonly [Key, Value] | undefined;
  let calls = 0;

  function restart() {
    entries = map.entries();
    last = undefined;
    calls = 0;
  }

  return () => {
    calls += 1;
    if (calls > Math.max(MIN_CALLS, map.size)) restart();
    while (map.size > 0) {
      if (last !== undefined && map.get(last[0]) === last[1]) return last;
      const next = entries.next();
      if (next.done) restart();
      else last = next.value;
    }
    last = undefined;
    return undefined;
  };
}
