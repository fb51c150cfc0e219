import { createHash } from 'node:crypto';
import {
  ERROR_CODES,
  ERRORS,
  type ErrorActor,
  type ErrorCode,
  type ErrorRow,
  type ErrorScope,
} from '../../core/errors.ts';
import { escapeHtml } from '../escape-html.ts';
import type { MessageResource } from '../schemas/message.ts';
import type { Problem } from '../schemas/problem.ts';
import { PROBLEMS_STYLE } from './problems-style.ts';

/** What a client sees of an error: the body of a response, or the `error` of a message. */
export type ErrorExample =
  | { readonly kind: 'response'; readonly body: Problem }
  | { readonly kind: 'message'; readonly error: NonNullable<MessageResource['error']> };

const STYLE_HASH = createHash('sha256').update(PROBLEMS_STYLE).digest('base64');

/** The pages need their style and an empty icon; scripts, forms, frames and requests are blocked. */
export const PROBLEMS_CSP = [
  "default-src 'none'",
  `style-src 'sha256-${STYLE_HASH}'`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

interface Section {
  readonly subject: string;
  readonly heading: string;
  readonly lead: string;
}

const SECTIONS: Readonly<Record<ErrorScope, Section>> = {
  request: {
    subject: 'A request',
    heading: 'Errors of a request',
    lead: 'The service refused one request, or could not finish it.',
  },
  message: {
    subject: 'A message',
    heading: 'Errors of a message',
    lead: 'One message fails, or waits for its next attempt. Other messages are not affected.',
  },
  account: {
    subject: 'An account',
    heading: 'Errors of an account',
    lead: 'The sending account pauses. Its messages wait as <code>deferred</code>, and none of them fails.',
  },
};

const ACTORS: Readonly<Record<ErrorActor, { readonly name: string; readonly role: string }>> = {
  caller: { name: 'Caller', role: 'the client that sends the request' },
  operator: { name: 'Operator', role: 'the person who runs this service' },
};

/** Returns the page that lists every code. Its links are relative to `/problems`. */
export function renderIndex(): string {
  const scopes = Object.keys(SECTIONS) as ErrorScope[];
  return renderPage({
    title: 'Error codes',
    root: '',
    trail: '',
    main: `<h1>Error codes</h1>
<p class="lead">Every error has a <code>code</code> from this page. Branch on the code: titles and hints can be reworded.</p>
<nav class="sections" aria-label="Sections"><ul>
${scopes.map((scope) => `<li><a href="#${scope}">${SECTIONS[scope].heading}</a></li>`).join('\n')}
</ul></nav>
${scopes.map(renderSection).join('\n')}`,
  });
}

function renderSection(scope: ErrorScope): string {
  const { heading, lead } = SECTIONS[scope];
  const codes = ERROR_CODES.filter((code) => ERRORS[code].scope === scope);
  return `<section aria-labelledby="${scope}">
<h2 id="${scope}">${heading}</h2>
<p>${lead}</p>
<ul class="codes">
${codes.map(renderItem).join('\n')}
</ul>
</section>`;
}

function renderItem(code: ErrorCode): string {
  const { title, status, actor } = ERRORS[code];
  return `<li><a href="problems/${code}"><code>${code}</code></a><span class="title">${escapeHtml(title)}</span>
<span class="facts"><span>HTTP ${status}</span><span class="${actor}">${ACTORS[actor].name} acts</span></span></li>`;
}

/** Returns the page about one code. Its links are relative to `/problems/{code}`. */
export function renderProblem(code: ErrorCode, example: ErrorExample): string {
  const { title, status, retryable, hint, meaning, actor, scope }: ErrorRow = ERRORS[code];
  const { name, role } = ACTORS[actor];
  const { subject, lead } = SECTIONS[scope];
  return renderPage({
    title: `${title} (${code})`,
    root: '../',
    trail: '<li><a href="../problems">Error codes</a></li>',
    main: `<h1>${escapeHtml(title)}</h1>
<p class="code"><code>${code}</code></p>
<p class="lead">${renderText(meaning)}</p>
<section class="fix ${actor}" aria-labelledby="fix">
<h2 id="fix">What to do</h2>
<p>${renderText(hint)}</p>
<p class="who">Who must act: <strong>${name}</strong>, ${role}.</p>
</section>
<dl>
<dt>HTTP status</dt><dd>${status}${scope === 'request' ? '' : ', if the client waits for the outcome'}</dd>
<dt>Retryable</dt><dd>${retryable ? 'Yes: the same request can succeed later.' : 'No: the same request fails again until its cause is fixed.'}</dd>
<dt>Concerns</dt><dd>${subject}. ${lead}</dd>
</dl>
${renderExample(example)}
<p class="more"><a href="../problems#${scope}">All error codes</a> <a href="../docs">API documentation</a></p>`,
  });
}

function renderExample(example: ErrorExample): string {
  const [lead, value] =
    example.kind === 'response'
      ? ['The body of a response, as <code>application/problem+json</code>:', example.body]
      : [
          'The <code>error</code> of a message, as <code>GET /messages/{id}</code> returns it:',
          example.error,
        ];
  return `<h2 id="example">Example</h2>
<p>${lead}</p>
<pre tabindex="0" role="region" aria-labelledby="example"><code>${escapeHtml(JSON.stringify(value, null, 2))}</code></pre>`;
}

interface Page {
  readonly title: string;
  /** The path from the page to the root of the service. */
  readonly root: string;
  /** Further items of the navigation. */
  readonly trail: string;
  readonly main: string;
}

function renderPage({ title, root, trail, main }: Page): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)} - Outtray</title>
<link rel="icon" href="data:,">
<style>${PROBLEMS_STYLE}</style>
</head>
<body>
<header><nav aria-label="Outtray"><ul><li class="brand">Outtray</li>${trail}<li><a href="${root}docs">API docs</a></li></ul></nav></header>
<main>
${main}
</main>
</body>
</html>
`;
}

/** Escapes a text of {@link ERRORS}, and renders its code spans and addresses. */
function renderText(text: string): string {
  return escapeHtml(text)
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replace(/https:\/\/[\w./-]*[\w/]/g, (url) => `<a href="${url}" rel="noreferrer">${url}</a>`);
}
