/**
 * Returns a function that returns the oldest entry of a Map. It continues where its last call ended:
 * a new iterator passes all the entries deleted before the oldest one, until V8 rebuilds the Map.
 *
 * @param map Its values are objects. A key is deleted before it gets another value.
 */
export function createOldestEntry<Key, Value extends object>(
  map: ReadonlyMap<Key, Value>,
): () => readonly [Key, Value] | undefined {
  let entries = map.entries();
  let last: readonly [Key, Value] | undefined;
  return () => {
    while (map.size > 0) {
      if (last !== undefined && map.get(last[0]) === last[1]) return last;
      const next = entries.next();
      if (next.done) entries = map.entries();
      else last = next.value;
    }
    last = undefined;
    return undefined;
  };
}
