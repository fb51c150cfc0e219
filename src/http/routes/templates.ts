import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import { AppError, summarize } from '../../core/errors.ts';
import type { TemplateUse } from '../../core/message/message.ts';
import type { Rendered, Templates } from '../../core/ports/templates.ts';
import { BODY_CODES, keyedResponses, success } from '../schemas/responses.ts';
import { templateList, templatePreview, templatePreviewRequest } from '../schemas/template.ts';

export interface TemplateOptions {
  readonly templates: Templates;
  /** Makes the text part for HTML without one. */
  readonly toText: (html: string) => Promise<string>;
}

/** GET /templates, POST /templates/{id}/preview: the templates in TEMPLATES_DIR. */
export const templateRoutes: FastifyPluginAsyncZod<TemplateOptions> = async (app, { templates, toText }) => {
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
    async ({ params: { id }, body: { variables = {} } }) => {
      const { subject, html, text } = renderPreview(templates, { id, variables });
      return { id, subject, html, text: text ?? (html === null ? null : await toText(html)) };
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
