import type { Book, Books } from '../../core/ports.ts';

/** Books in memory, of this process alone. */
export function createMemoryBooks(): Books {
  const books = new Map<string, Book<object>>();
  return {
    shared: false,
    now: () => performance.timeOrigin + performance.now(),
    async open<Value extends object>(name: string, initial: () => Value) {
      const book = books.get(name) ?? bind(initial());
      books.set(name, book);
      return book as Book<Value>;
    },
  };
}

function bind<Value>(value: Value): Book<Value> {
  return { current: value, read: async () => value, change: async (edit) => edit(value) };
}
