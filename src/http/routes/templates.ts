import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import { AppError, summarize } from '../../core/errors.ts';
import type { TemplateUse } from '../../core/message/message.ts';
import type { Rendered, Templates } from '../../core/ports/templates.ts';
import { answer, answersToKey, BODY_CODES } from '../schemas/responses.ts';
import { templateList, templatePreview, templatePreviewRequest } from '../schemas/template.ts';

export interface TemplateOptions {
  readonly templates: Templates;
  /** Makes the text part for HTML without one. */
  readonly toText: (html: string) => string;
}

/** GET /templates, POST /templates/{id}/preview: the templates in TEMPLATES_DIR. */
export const templateRoutes: FastifyPluginAsyncZod<TemplateOptions> = async (app, { templates, toText }) => {
  app.get(
    '/templates',
    {
      schema: {
        operationId: 'listTemplates',
        tags: ['templates'],
        summary: 'List the templates',
        description:
          'What the operator has put into TEMPLATES_DIR, by id, and the variables that each wants.',
        response: answersToKey({ 200: answer('The templates.', templateList) }),
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
        summary: 'See a template filled in',
        description:
          'Sends nothing. An unknown id is `template_not_found` with the status 422, as it is in a request to send: a code has one status.',
        params: z.object({ id: z.string().meta({ description: 'An id of GET /templates.' }) }),
        body: templatePreviewRequest,
        response: answersToKey({ 200: answer('What a message would say.', templatePreview) }, [
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
      return { id, subject, html, text: text ?? (html === null ? null : toText(html)) };
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
