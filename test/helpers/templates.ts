import { EventEmitter, once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type OpenTemplates, openTemplates } from '../../src/adapters/templates/templates.ts';

export interface TemplatesDir extends AsyncDisposable {
  readonly dir: string;
  write(path: string, content: string | Uint8Array): Promise<void>;
}

/** A directory of its own for one test, with these files in it. */
export async function makeTemplatesDir(
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<TemplatesDir> {
  const dir = await mkdtemp(join(tmpdir(), 'templates-'));
  async function write(path: string, content: string | Uint8Array): Promise<void> {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  }
  for (const [path, content] of Object.entries(files)) await write(path, content);
  return { dir, write, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

export interface WatchedTemplates extends TemplatesDir {
  readonly templates: OpenTemplates;
  /** What onError was told so far. */
  readonly errors: readonly string[];
  /** How many changes were taken over so far. */
  readonly changes: number;
  /** The next time that a change is taken over, or refused. */
  next(event: 'change' | 'refusal'): Promise<void>;
}

/** Templates that are read and watched in a directory of their own. */
export async function openWatchedTemplates(
  files: Readonly<Record<string, string>>,
): Promise<WatchedTemplates> {
  const made = await makeTemplatesDir(files);
  const events = new EventEmitter();
  const errors: string[] = [];
  let changes = 0;
  const templates = await openTemplates({
    dir: made.dir,
    onChange: () => {
      changes++;
      events.emit('change');
    },
    onError: ({ message }) => {
      errors.push(message);
      events.emit('refusal');
    },
  });
  return {
    ...made,
    templates,
    errors,
    get changes() {
      return changes;
    },
    next: async (event) => {
      await once(events, event);
    },
    async [Symbol.asyncDispose]() {
      await templates.close();
      await made[Symbol.asyncDispose]();
    },
  };
}
