import { z } from 'zod';
import { isTemplateId } from '../../core/message/template-id.ts';
import { objectOrEmptyList, optional } from '../validation/leniency.ts';
import { optionalBody, strictObject } from '../validation/validation.ts';

const variables = objectOrEmptyList(z.record(z.string(), z.unknown())).meta({
  description:
    'The values of the variables, as any JSON. A variable that is null counts as set, and renders as empty.',
  examples: [{ customer: { name: 'Ada' } }],
});

/** The template of a request to send. */
export const templateUse = strictObject({
  id: z
    .string()
    .refine(isTemplateId, {
      error:
        'Must be the id of a template: at most 64 letters, digits, ".", "_" and "-". GET /templates lists the ids.',
      params: { code: 'invalid_template_id' },
    })
    .meta({ examples: ['invoice'] }),
  variables: optional(variables),
});

export const templatePreviewRequest = optionalBody(strictObject({ variables: optional(variables) }));

/** A template and its variables. */
export const template = z.object({
  id: z.string().meta({ examples: ['invoice'] }),
  subject: z
    .boolean()
    .meta({ description: 'Whether the template has a subject. Otherwise the request must have one.' }),
  html: z.boolean().meta({ description: 'Whether the template has an HTML part.' }),
  text: z.boolean().meta({
    description: 'Whether the template has a text part. Otherwise the text is generated from `html`.',
  }),
  variables: z.array(
    z.object({
      name: z
        .string()
        .meta({ description: 'A dot separates an object from its property.', examples: ['customer.name'] }),
      required: z.boolean().meta({
        description:
          'False if it can be absent, or is needed only inside a section or for the items of a list.',
      }),
    }),
  ),
});

export const templateList = z.object({ templates: z.array(template) });

/** Maximum size of the variables in a URL. Proxies limit its length, usually to 8 KB. */
export const MAX_VIEW_BYTES = 4096;

/** A rendered template. */
export const templatePreview = z.object({
  id: z.string().meta({ examples: ['invoice'] }),
  subject: z.string().nullable().meta({ description: 'Null if the template has none.' }),
  html: z.string().nullable().meta({ description: 'Null if the template has none.' }),
  text: z.string().nullable().meta({ description: 'Generated from `html` if the template has none.' }),
  view_url: z
    .string()
    .nullable()
    .meta({
      description: `A page that shows the html for one minute, without an API key: for a frame, which cannot send one. Relative to the base URL of the API. Null without html, or if the variables have more than ${MAX_VIEW_BYTES} bytes of JSON.`,
      examples: ['templates/invoice/preview/view?ticket=1788998460000.c2VhbGVk.crm'],
    }),
});
