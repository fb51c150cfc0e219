import type { Inbox } from '../../core/ports/inbox.ts';
import type { InboxOptions } from './inbox-watch.ts';

/** Opens the inbox of one account. What reads it is loaded when it is watched. */
export function openInbox(options: InboxOptions): Inbox {
  return {
    watch(handlers) {
      const watch = import('./inbox-watch.ts').then(({ watchInbox }) => watchInbox(options, handlers));
      return { close: async () => (await watch).close() };
    },
  };
}
