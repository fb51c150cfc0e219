import { createHash } from 'node:crypto';
import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import { ERROR_CODES, ERRORS, type ErrorCode } from '../../core/errors.ts';
import { escapeHtml } from '../escape-html.ts';
import { publicResponses, success } from '../schemas/responses.ts';

const STYLE =
  'body{font:1.1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}dt{font-weight:600}dd{margin:0 0 1rem}';
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');
const CONTENT_SECURITY_POLICY = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** GET /problems/{code}: the page that the `type` of a problem links to. */
export const problemRoutes: FastifyPluginAsyncZod = async (app) => {
  const pages = new Map<string, string>(ERROR_CODES.map((code) => [code, renderPage(code)]));

  app.get(
    '/problems/:code',
    {
      schema: {
        operationId: 'explainProblem',
        tags: ['docs'],
        summary: 'Explain an error code',
        description: 'The page that the `type` of a problem refers to.',
        security: [],
        params: z.object({
          code: z.string().meta({ description: 'An error code.', examples: ['validation_failed'] }),
        }),
        response: publicResponses(
          {
            200: success('An HTML page about the error.', z.string(), { type: 'text/html' }),
          },
          ['invalid_json', 'not_found', 'rate_limited'],
        ),
      },
    },
    async (request, reply) => {
      const page = pages.get(request.params.code);
      if (page === undefined) return reply.callNotFound();
      return reply
        .header('content-security-policy', CONTENT_SECURITY_POLICY)
        .type('text/html; charset=utf-8')
        .send(page);
    },
  );
};

function renderPage(code: ErrorCode): string {
  const { title, status, retryable, hint } = ERRORS[code];
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${code} - Outtray</title><style>${STYLE}</style></head>
<body>
<h1>${escapeHtml(title)}</h1>
<dl>
<dt>Code</dt><dd><code>${code}</code></dd>
<dt>HTTP status</dt><dd>${status}</dd>
<dt>What to do</dt><dd>${escapeHtml(hint)}</dd>
<dt>Can the same request succeed later?</dt><dd>${retryable ? 'Yes' : 'No, it has to be changed'}</dd>
</dl>
</body>
</html>
`;
}
