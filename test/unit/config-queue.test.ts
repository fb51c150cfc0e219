import { describe, expect, test } from 'vitest';
import { configOf, errorOf, fileOf, problemOf } from '../helpers/config.ts';

describe('QUEUE_URL', () => {
  test.each([
    ['memory:', { kind: 'memory' }],
    ['sqlite:/data/outtray.db', { kind: 'sqlite', file: '/data/outtray.db' }],
    ['sqlite:outtray.db', { kind: 'sqlite', file: 'outtray.db' }],
    ['sqlite:./data/my queue.db', { kind: 'sqlite', file: './data/my queue.db' }],
  ])('accepts %s', (QUEUE_URL, url) => {
    expect(configOf({ QUEUE_URL }).queue.url).toEqual(url);
  });

  test.each([
    'redis://redis',
    'redis://redis/',
    'redis://redis:6379',
    'redis://redis:6379/15',
    'redis://10.0.0.1:6379/0',
    'redis://[::1]:6379/0',
    'redis://:p%40ss@redis:6379/0',
    'rediss://outtray:pass@redis.example.com:6380',
  ])('accepts %s unchanged', (QUEUE_URL) => {
    expect(configOf({ QUEUE_URL }).queue.url).toEqual({ kind: 'redis', url: QUEUE_URL });
  });

  test.each([
    ['memory', 'memory:'],
    ['memory:x', 'just memory:'],
    ['memory://', 'just memory:'],
    ['MEMORY:', 'memory:, sqlite:<file>'],
    ['sqlite:', 'must name a file'],
    ['sqlite:/data/', 'must name a file'],
    ['sqlite:a\0b', 'must name a file'],
    ['sqlite:///data/outtray.db', 'right after the colon'],
    ['sqlite://data/outtray.db', 'right after the colon'],
    ['/data/outtray.db', 'sqlite:<file>'],
    ['postgres://db/outtray', 'sqlite:<file>'],
    ['redis:', 'It is not a URL'],
    ['redis://', 'It is not a URL'],
    ['redis://redis:port', 'It is not a URL'],
    ['redis://:p/ss@redis:6379', 'It is not a URL'],
    ['redis://redis/queue', 'not a database number'],
    ['redis://redis/0/1', 'not a database number'],
    ['redis://redis/123456', 'not a database number'],
    ['redis://redis/0?db=1', 'after the database number'],
    ['redis://redis/0#1', 'after the database number'],
  ])('refuses %j', (value, reason) => {
    expect(problemOf('QUEUE_URL', value)).toContain(reason);
  });

  test.each([
    'redis://:hunter2@redis/queue',
    'redis://:hunter2@redis?x',
    'redis://:hunter2/x@redis',
    'hunter2',
    'memory:hunter2',
    'sqlite://hunter2',
  ])('is not repeated in the error: %s', (value) => {
    expect(errorOf({ QUEUE_URL: value }).message).not.toContain('hunter2');
  });

  test('can be set as a file, since it may contain a password', () => {
    using file = fileOf('redis://:hunter2@redis:6379/0\n');
    expect(configOf({ QUEUE_URL_FILE: file.path }).queue.url).toEqual({
      kind: 'redis',
      url: 'redis://:hunter2@redis:6379/0',
    });
    file.write('rediss://hunter2@/x');
    const { problems, message } = errorOf({ QUEUE_URL_FILE: file.path });
    expect(problems.map(({ variable }) => variable)).toEqual(['QUEUE_URL_FILE']);
    expect(message).not.toContain('hunter2');
  });
});

describe('SMTP_CONNECTIONS_PER_INSTANCE', () => {
  test.each([
    [{}, 3, 3],
    [{ SMTP_CONNECTIONS: '12' }, 12, 12],
    [{ SMTP_CONNECTIONS: '12', SMTP_CONNECTIONS_PER_INSTANCE: '4' }, 12, 4],
    [{ SMTP_CONNECTIONS: '2', SMTP_CONNECTIONS_PER_INSTANCE: '4' }, 2, 2],
  ])('is capped at SMTP_CONNECTIONS: %j', (env, connections, connectionsHere) => {
    expect(configOf(env).smtp).toMatchObject({ connections, connectionsHere });
  });
});
