import { isDeepStrictEqual } from 'node:util';
import { watch } from 'chokidar';
import { AppError, summarize } from '../../core/errors.ts';
import type { Templates } from '../../core/ports/templates.ts';
import { parseTemplates } from './catalogue.ts';
import { readTemplateFiles } from './files.ts';
import { render } from './render.ts';

export interface TemplatesOptions {
  /** TEMPLATES_DIR. Null: there are no templates. */
  readonly dir: string | null;
  /** A change cannot be used, and the former templates stay; or changes cannot be seen. The same is not said twice in a row. */
  readonly onError: (error: Error) => void;
  /** A change has been read, and is what is rendered from now on. */
  readonly onChange?: () => void;
}

export interface OpenTemplates extends Templates, AsyncDisposable {
  /** Ends the watching. */
  close(): Promise<void>;
}

/** Long enough for an editor to write all it has to, or for a copy of several files. */
const SETTLE_MS = 100;

/**
 * The templates in a directory, read now and at every change. A change is taken over as a whole, or not at all.
 *
 * @throws {TemplatesError} if they cannot be used as they are now
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
        'There are no templates: TEMPLATES_DIR is not set. The operator sets it to a directory of templates.',
      );
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function openDirectory(dir: string, { onError, onChange }: TemplatesOptions): Promise<OpenTemplates> {
  let files = await readTemplateFiles(dir);
  let templates = parseTemplates(files);
  let complaint: string | null = null;

  async function reload(): Promise<void> {
    try {
      const found = await readTemplateFiles(dir);
      if (complaint === null && isDeepStrictEqual(found, files)) return;
      templates = parseTemplates(found);
      files = found;
      complaint = null;
      onChange?.();
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      if (error.message !== complaint) onError(error);
      complaint = error.message;
    }
  }

  let reloading = Promise.resolve();
  const watcher = await openWatcher(dir, {
    onError,
    onChange: () => {
      reloading = reloading.then(reload);
    },
  });
  // What has changed since it was read, and before it was watched.
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
        throw notFound(`There is no template ${JSON.stringify(id)}: see GET /templates.`);
      return render(template.parts, variables);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Watches a directory of templates, and tells once when something has changed and then nothing more for a moment. */
async function openWatcher(dir: string, { onError, onChange }: Required<Omit<TemplatesOptions, 'dir'>>) {
  let timer: NodeJS.Timeout | undefined;
  // The links of a ConfigMap are followed. The service does not stay up for what is only watched.
  const watcher = watch(dir, { ignoreInitial: true, depth: 1, persistent: false });
  watcher.on('all', () => {
    clearTimeout(timer);
    timer = setTimeout(onChange, SETTLE_MS);
  });
  // One is enough to say so; each directory might bring another.
  watcher.once('error', (cause) =>
    onError(new Error(`TEMPLATES_DIR cannot be watched: restart to see changes. ${String(cause)}`)),
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
