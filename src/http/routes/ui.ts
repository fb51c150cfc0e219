import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { escapeHtml } from '../escape-html.ts';
import type { UiFiles } from '../ui-files.ts';

/** Scripts and styles come from /ui, requests go to this service, and only lit-html creates html. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "frame-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types lit-html',
].join('; ');

/** Sends a browser from `/prefix` to `/prefix/`, where the relative URLs of the page are right. */
const ADD_SLASH = `const url = new URL(location.href);
if (!url.pathname.endsWith('/')) {
  url.pathname += '/';
  location.replace(url);
}
`;

const YEAR_S = 365 * 24 * 60 * 60;

export interface UiOptions {
  readonly version: string;
  /** The operators' page. Null: UI=off, and `/` is unknown. */
  readonly page: {
    /** Whether the page takes an API key from its URL, as `npm run demo` prints it. */
    readonly demo: boolean;
  } | null;
}

/** GET /: the operators' page, a client of this API. GET /ui/*: its modules, styles and icons. */
export const uiRoutes: FastifyPluginAsyncZod<UiOptions> = async (app, { version, page }) => {
  if (page === null) return;
  let reading: Promise<{ files: UiFiles; markup: string }> | undefined;
  const read = () => {
    reading ??= readPage(version, page.demo);
    return reading;
  };

  app.get('/', { schema: { hide: true } }, async (request, reply) => {
    // A proxy may strip the prefix of a path without a slash. Only URLs without a path of their own
    // lead back here then.
    if ('add-slash.js' in (request.query as object)) return reply.type(SCRIPT).send(ADD_SLASH);
    const { markup } = await read();
    reply.header('content-security-policy', CONTENT_SECURITY_POLICY);
    return reply.type('text/html; charset=utf-8').send(markup);
  });

  app.get('/ui/:revision/*', { schema: { hide: true } }, async (request, reply) => {
    const { revision, '*': path } = request.params as { revision: string; '*': string };
    const { files } = await read();
    const file = files.byPath.get(path);
    if (file === undefined) return reply.callNotFound();
    // During an update, a page of one version may ask an instance of another.
    if (revision === files.revision) reply.header('cache-control', `public, max-age=${YEAR_S}, immutable`);
    return reply.type(file.type).send(file.body);
  });
};

const SCRIPT = 'text/javascript; charset=utf-8';

/** The html of the page, with the files that it loads. */
async function readPage(version: string, demo: boolean): Promise<{ files: UiFiles; markup: string }> {
  const { readUiFiles } = await import('../ui-files.ts');
  const files = await readUiFiles();
  const root = `ui/${files.revision}`;
  const modules = [...files.byPath.keys()].filter((path) => path.endsWith('.js'));
  const preloads = modules.map((path) => `<link rel="modulepreload" href="${root}/${path}">`);
  const markup = files.markup
    .replaceAll('{{root}}', root)
    .replaceAll('{{version}}', escapeHtml(version))
    .replace('{{demo}}', String(demo))
    .replace('</head>', [...preloads, '</head>'].join('\n'));
  return { files, markup };
}
