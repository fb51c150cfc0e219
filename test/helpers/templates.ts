import { EventEmitter, once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type OpenTemplates, openTemplates } from '../../src/adapters/templates/templates.ts';

export interface TemplatesDir extends AsyncDisposable {
  readonly dir: string;
  write(path: string, content: string | Uint8Array): Promise<void>;
}

/** Creates a temporary directory with these files. */
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
  /** Messages of all errors reported so far. */
  readonly errors: readonly string[];
  /** Number of changes loaded so far. */
  readonly changes: number;
  /** Resolves when the next change is loaded, or rejected. */
  next(event: 'change' | 'rejection'): Promise<void>;
}

/** Opens templates in a temporary directory. */
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
      events.emit('rejection');
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
