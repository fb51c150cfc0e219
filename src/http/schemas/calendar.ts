import { z } from 'zod';
import { CALENDAR_METHODS } from '../../core/message/message.ts';
import { strictObject } from '../validation/validation.ts';
import { prose } from './text.ts';

/** The METHOD property of an iCalendar object (RFC 5545, section 3.7.2). */
const METHOD = /^METHOD:[ \t]*([A-Za-z-]+)[ \t]*\r?$/im;

const content = prose.refine(
  (text) => /^\s*BEGIN:VCALENDAR\r?\n(?:[\s\S]*\n)?END:VCALENDAR\s*$/i.test(text),
  {
    error: 'Must be an iCalendar object, from BEGIN:VCALENDAR to END:VCALENDAR.',
    params: { code: 'invalid_format' },
  },
);

/**
 * An invitation. Mail clients show its buttons only if both methods are the same (RFC 6047, section
 * 2.4).
 */
export const calendar = strictObject({
  method: z.enum(CALENDAR_METHODS).meta({ examples: ['REQUEST'] }),
  content: content.meta({
    description: 'The iCalendar object (RFC 5545). Its METHOD must be `method`.',
    examples: ['BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Acme//EN\nMETHOD:REQUEST\nEND:VCALENDAR'],
  }),
}).superRefine(({ method, content: text }, context) => {
  const found = METHOD.exec(text)?.[1]?.toUpperCase();
  if (found === method) return;
  const message = found
    ? `Has METHOD:${found}, which must be METHOD:${method} as in method.`
    : `Has no METHOD: add the line METHOD:${method} after BEGIN:VCALENDAR.`;
  context.addIssue({ code: 'custom', path: ['content'], message, params: { code: 'conflict' } });
});
