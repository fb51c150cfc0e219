import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import type { Caller } from '../../core/auth/caller.ts';
import type { Tickets } from '../../core/auth/tickets.ts';
import { AppError, summarize } from '../../core/errors.ts';
import type { TemplateUse } from '../../core/message/message.ts';
import type { Rendered, Templates } from '../../core/ports/templates.ts';
import { sendMailView } from '../mail-view.ts';
import { callerOf } from '../request/request-context.ts';
import { BODY_CODES, keyedResponses, publicResponses, success } from '../schemas/responses.ts';
import {
  MAX_VIEW_BYTES,
  templateList,
  templatePreview,
  templatePreviewRequest,
} from '../schemas/template.ts';

export interface TemplateOptions {
  readonly templates: Templates;
  /** Makes the text part for HTML without one. */
  readonly toText: (html: string) => Promise<string>;
  readonly tickets: Tickets;
}

/** What a ticket for the preview of a template is for. */
const subjectOf = (id: string) => `preview of ${id}`;

/** GET /templates, POST /templates/{id}/preview: the templates in TEMPLATES_DIR. */
export const templateRoutes: FastifyPluginAsyncZod<TemplateOptions> = async (
  app,
  { templates, toText, tickets },
) => {
  /** Returns null if the variables are too large for a URL. */
  function viewUrlOf({ id, variables }: TemplateUse, caller: Caller): string | null {
    const sealed = JSON.stringify(variables);
    if (Buffer.byteLength(sealed) > MAX_VIEW_BYTES) return null;
    const query = new URLSearchParams({ ticket: tickets.issue(subjectOf(id), caller, sealed).ticket });
    return `templates/${id}/preview/view?${query}`;
  }

  app.get(
    '/templates',
    {
      schema: {
        operationId: 'listTemplates',
        tags: ['templates'],
        summary: 'List templates',
        description: 'The templates in TEMPLATES_DIR, ordered by id, with their variables.',
        response: keyedResponses({ 200: success('The templates.', templateList) }),
      },
      config: { scope: 'read' },
    },
    async () => ({ templates: templates.list() }),
  );

  app.post(
    '/templates/:id/preview',
    {
      schema: {
        operationId: 'previewTemplate',
        tags: ['templates'],
        summary: 'Preview a template',
        description:
          'Renders a template without sending anything. An unknown id is `template_not_found` with status 422, as in POST /send, since each code has one status.',
        params: z.object({
          id: z.string().meta({ description: 'The `id` of a template, as in GET /templates.' }),
        }),
        body: templatePreviewRequest,
        response: keyedResponses({ 200: success('The rendered template.', templatePreview) }, [
          ...BODY_CODES,
          'validation_failed',
          'template_not_found',
          'template_failed',
        ]),
      },
      config: { scope: 'read' },
    },
    async (request) => {
      const { id } = request.params;
      const use = { id, variables: request.body.variables ?? {} };
      const { subject, html, text } = renderPreview(templates, use);
      return {
        id,
        subject,
        html,
        text: text ?? (html === null ? null : await toText(html)),
        view_url: html === null ? null : viewUrlOf(use, callerOf(request)),
      };
    },
  );
};

/** GET /templates/{id}/preview/view: the html of a preview, for a ticket instead of an API key. */
export const templateViewRoutes: FastifyPluginAsyncZod<TemplateOptions> = async (
  app,
  { templates, tickets },
) => {
  app.get(
    '/templates/:id/preview/view',
    {
      schema: {
        operationId: 'viewTemplatePreview',
        tags: ['templates'],
        summary: 'View the preview of a template',
        description: `Shows the html of a template with the variables of POST /templates/{id}/preview. Scripts do
not run, and nothing is loaded from other hosts.`,
        security: [],
        params: z.object({ id: z.string().meta({ description: 'The `id` of the previewed template.' }) }),
        querystring: z.object({
          ticket: z.string().meta({ description: 'From the `view_url` of POST /templates/{id}/preview.' }),
        }),
        response: publicResponses({ 200: success('The page.', z.string(), { type: 'text/html' }) }, [
          'invalid_json',
          'invalid_ticket',
          'template_not_found',
          'template_failed',
          'validation_failed',
          'internal_error',
        ]),
      },
    },
    async ({ params: { id }, query }, reply) => {
      const { sealed } = tickets.verify(subjectOf(id), query.ticket);
      const { html } = renderPreview(templates, { id, variables: JSON.parse(sealed) });
      return sendMailView(html ?? '', reply);
    },
  );
};

/**
 * Renders a template. Errors point into this request, whose fields differ from those of a request
 * to send.
 */
function renderPreview(templates: Templates, use: TemplateUse): Rendered {
  try {
    return templates.render(use);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const errors = error.errors.map((field) => ({ ...field, pointer: toPreviewPointer(field.pointer) }));
    throw new AppError(error.code, { detail: summarize(errors), errors });
  }
}

function toPreviewPointer(pointer: string): string {
  return pointer === '/template/id' ? 'path:id' : pointer.replace(/^\/template/, '');
}
