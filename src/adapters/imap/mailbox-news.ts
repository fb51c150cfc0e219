import type { ImapFlow } from 'imapflow';

/** Whether a connection has announced new mail. */
export interface News {
  clear(): void;
  isThere(): boolean;
  /** Resolves when new mail is announced, or the connection ends. */
  arrival(): Promise<void>;
}

/** Servers announce new mail in the middle of any command. */
export function listenForNews(client: ImapFlow): News {
  let isThere = false;
  let resolvers = Promise.withResolvers<void>();
  const note = () => {
    isThere = true;
    resolvers.resolve();
  };
  client.on('exists', note);
  client.on('close', note);
  return {
    clear() {
      isThere = false;
      resolvers = Promise.withResolvers();
    },
    isThere: () => isThere,
    arrival: () => resolvers.promise,
  };
}
