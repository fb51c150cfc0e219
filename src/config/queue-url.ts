import { InvalidValue } from './values.ts';

/** What holds the queue and all that goes with it. */
export type QueueUrl =
  | { readonly kind: 'memory' }
  | { readonly kind: 'sqlite'; readonly file: string }
  /** The URL may have a password in it. */
  | { readonly kind: 'redis'; readonly url: string };

/** `memory:`, `sqlite:<file>`, `redis://…`, `rediss://…`. No value is repeated in an error: it may hold a password. */
export function parseQueueUrl(text: string): QueueUrl {
  const [, scheme = '', rest = ''] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  switch (scheme) {
    case 'memory':
      if (rest !== '') throw new InvalidValue('It has something after memory: write just memory:.');
      return { kind: 'memory' };
    case 'sqlite':
      return { kind: 'sqlite', file: toFile(rest) };
    case 'redis':
    case 'rediss':
      return { kind: 'redis', url: toRedisUrl(text) };
    default:
      throw new InvalidValue(
        'It must be memory:, sqlite:<file> such as sqlite:/data/outtray.db, or redis://host:6379 (rediss: with TLS).',
      );
  }
}

function toFile(path: string): string {
  if (path.startsWith('//'))
    throw new InvalidValue(
      'It must name the file right after the colon: sqlite:/data/outtray.db, or sqlite:outtray.db.',
    );
  if (path === '' || path.endsWith('/') || path.includes('\0'))
    throw new InvalidValue('It must name a file, such as sqlite:/data/outtray.db.');
  return path;
}

function toRedisUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || url.hostname === '') {
    throw new InvalidValue(
      'It is not a URL: write redis://user:password@host:6379/0, with what is special in the password percent-encoded.',
    );
  }
  if (!/^\/?\d{0,5}$/.test(url.pathname))
    throw new InvalidValue(
      'After the host and its port there may only be the number of a database, such as /0.',
    );
  if (url.search !== '' || url.hash !== '')
    throw new InvalidValue(
      'It has something after the number of the database: write only redis://host:6379/0.',
    );
  return text;
}
