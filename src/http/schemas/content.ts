import { z } from 'zod';
import { attachmentInfo } from './message.ts';

/** The content of a message. */
export const messageContent = z.object({
  id: z.string().meta({ examples: ['msg_01k7m4q2'] }),
  subject: z.string(),
  headers: z
    .array(z.object({ name: z.string(), value: z.string() }))
    .meta({ description: 'The header fields of the mail, unfolded, without Bcc.' }),
  text: z.string().nullable(),
  html: z.string().nullable(),
  attachments: z.array(attachmentInfo),
});

export const contentTicket = z.object({
  url: z.string().meta({
    description: 'The address of the view, relative to the base URL of the API.',
    examples: ['messages/msg_01k7m4q2/content/view?ticket=1788998460000.c2lnbmF0dXJl.crm'],
  }),
  expires_at: z.iso.datetime(),
});

export type ContentResource = z.output<typeof messageContent>;
