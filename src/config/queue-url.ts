import { InvalidValue } from './value-parsers.ts';

/** The backend of the queue and of all other state. */
export type QueueUrl =
  | { readonly kind: 'memory' }
  | { readonly kind: 'sqlite'; readonly file: string }
  /** The URL may contain a password. */
  | { readonly kind: 'redis'; readonly url: string };

/**
 * Parses `memory:`, `sqlite:<file>`, `redis://…` or `rediss://…`. Errors repeat no value, as it may
 * contain a password.
 */
export function parseQueueUrl(text: string): QueueUrl {
  const [, scheme = '', rest = ''] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  switch (scheme) {
    case 'memory':
      if (rest !== '') throw new InvalidValue('It has something after the colon: write just memory:.');
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
      'It is not a URL: write redis://user:password@host:6379/0, with special characters in the password percent-encoded.',
    );
  }
  if (!/^\/?\d{0,5}$/.test(url.pathname))
    throw new InvalidValue(
      'It has a path that is not a database number: write a number such as /0 after the host and port.',
    );
  if (url.search !== '' || url.hash !== '')
    throw new InvalidValue('It has something after the database number: write only redis://host:6379/0.');
  return text;
}
