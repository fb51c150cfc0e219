/** Returns a function whose calls with the same key, while one is under way, share its result. */
export function joinCalls<Result>(call: (key: string) => Promise<Result>): (key: string) => Promise<Result> {
  const running = new Map<string, Promise<Result>>();
  return (key) => {
    const result = running.get(key) ?? call(key).finally(() => running.delete(key));
    running.set(key, result);
    return result;
  };
}
