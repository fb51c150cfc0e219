import { isDeepStrictEqual } from 'node:util';
import { watch } from 'chokidar';
import { AppError, summarize } from '../../core/errors.ts';
import type { Templates } from '../../core/ports/templates.ts';
import { parseTemplates } from './catalogue.ts';
import { readTemplateFiles } from './files.ts';
import { render } from './render.ts';

export interface TemplatesOptions {
  /** TEMPLATES_DIR; null: there are no templates. */
  readonly dir: string | null;
  /**
   * Called when a reload fails, and the previous templates stay in use; or when the directory
   * cannot be watched. Not called twice in a row with the same message.
   */
  readonly onError: (error: Error) => void;
  /** Called when a change was loaded. */
  readonly onChange?: () => void;
}

export interface OpenTemplates extends Templates, AsyncDisposable {
  /** Stops watching the directory. */
  close(): Promise<void>;
}

/** Wait after a change before reloading, in ms: an editor writes, or several files are copied. */
const DEBOUNCE_MS = 100;

/**
 * Opens the templates in a directory, and reloads them after every change. A reload replaces all
 * templates or none.
 *
 * @throws {TemplatesError} if the templates have errors
 */
export async function openTemplates(options: TemplatesOptions): Promise<OpenTemplates> {
  return options.dir === null ? noTemplates() : await openDirectory(options.dir, options);
}

function noTemplates(): OpenTemplates {
  const close = async () => {};
  return {
    list: () => [],
    render: () => {
      throw notFound(
        'There are no templates, because TEMPLATES_DIR is not set. Ask the operator to set it to a directory of templates.',
      );
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function openDirectory(dir: string, { onError, onChange }: TemplatesOptions): Promise<OpenTemplates> {
  let files = await readTemplateFiles(dir);
  let templates = parseTemplates(files);
  let lastError: string | null = null;

  async function reload(): Promise<void> {
    try {
      const found = await readTemplateFiles(dir);
      if (lastError === null && isDeepStrictEqual(found, files)) return;
      templates = parseTemplates(found);
      files = found;
      lastError = null;
      onChange?.();
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      if (error.message !== lastError) onError(error);
      lastError = error.message;
    }
  }

  let reloading = Promise.resolve();
  const watcher = await openWatcher(dir, {
    onError,
    onChange: () => {
      reloading = reloading.then(reload);
    },
  });
  // Loads changes made between the first read and the start of the watcher.
  await reload();

  async function close(): Promise<void> {
    await watcher.close();
    await reloading;
  }

  return {
    list: () => [...templates.values()].map(({ info }) => info),
    render({ id, variables }) {
      const template = templates.get(id);
      if (template === undefined)
        throw notFound(`There is no template ${JSON.stringify(id)}. List the templates with GET /templates.`);
      return render(template.parts, variables);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Watches a templates directory, and calls `onChange` once after a series of changes. */
async function openWatcher(dir: string, { onError, onChange }: Required<Omit<TemplatesOptions, 'dir'>>) {
  let timer: NodeJS.Timeout | undefined;
  // Follows the links of a ConfigMap. `persistent: false` lets the process end while watching.
  const watcher = watch(dir, { ignoreInitial: true, depth: 1, persistent: false });
  watcher.on('all', () => {
    clearTimeout(timer);
    timer = setTimeout(onChange, DEBOUNCE_MS);
  });
  // Reported once, because every subdirectory may cause the same error.
  watcher.once('error', (cause) =>
    onError(new Error(`TEMPLATES_DIR cannot be watched. Restart Outtray to load changes. ${String(cause)}`)),
  );
  watcher.on('error', () => {});
  await new Promise<void>((resolve) => watcher.once('ready', resolve));
  return {
    async close(): Promise<void> {
      await watcher.close();
      clearTimeout(timer);
    },
  };
}

function notFound(detail: string): AppError {
  const errors = [{ pointer: '/template/id', code: 'unknown_template', detail }];
  return new AppError('template_not_found', { detail: summarize(errors), errors });
}
