import { z } from 'zod';
import { isTemplateId } from '../../core/message/template-id.ts';
import { objectOrEmptyList, optional } from '../validation/leniency.ts';
import { optionalBody, strictObject } from '../validation/validation.ts';

/** All that the templates in examples/templates require. */
const VARIABLES_EXAMPLE = {
  company: 'Acme',
  name: 'Ada',
  url: 'https://acme.com/account',
  customer: { name: 'Ada' },
  number: '2027-001',
  items: [{ quantity: 1, name: 'Tea', price: '4.20' }],
  total: '4.20',
};

const variables = objectOrEmptyList(z.record(z.string(), z.unknown())).meta({
  description: 'What to fill it in with: any JSON. null is given, and empty.',
  examples: [VARIABLES_EXAMPLE],
});

/** The template of a request to send. */
export const templateUse = strictObject({
  id: z
    .string()
    .refine(isTemplateId, {
      error:
        'Must be the id of a template: letters, digits, ".", "_" and "-", at most 64. GET /templates lists them.',
      params: { code: 'invalid_template_id' },
    })
    .meta({ examples: ['invoice'] }),
  variables: optional(variables),
});

export const templatePreviewRequest = optionalBody(strictObject({ variables: optional(variables) })).meta({
  examples: [{ variables: VARIABLES_EXAMPLE }],
});

/** A template, and what it wants. */
export const template = z.object({
  id: z.string().meta({ examples: ['invoice'] }),
  subject: z.boolean().meta({ description: 'Whether it has a subject. If not, the request must have one.' }),
  html: z.boolean(),
  text: z
    .boolean()
    .meta({ description: 'Whether it has a text of its own. If not, text is made from html.' }),
  variables: z.array(
    z.object({
      name: z.string().meta({ description: 'A dot leads into an object.', examples: ['customer.name'] }),
      required: z.boolean().meta({
        description:
          'False if it may be missing, or is wanted only where a section is shown, or of the items of a list.',
      }),
    }),
  ),
});

export const templateList = z.object({ templates: z.array(template) });

/** A template, filled in. */
export const templatePreview = z.object({
  id: z.string().meta({ examples: ['invoice'] }),
  subject: z.string().nullable().meta({ description: 'null if the template has none.' }),
  html: z.string().nullable().meta({ description: 'null if the template has none.' }),
  text: z.string().nullable().meta({ description: 'Made from html if the template has none.' }),
});
