import { AppError } from '../errors.ts';
import type { Draft, Message } from '../message/message.ts';
import type { Templates } from '../ports/templates.ts';

/**
 * Returns the message of a draft, with subject and bodies from its template. A subject in the draft
 * takes precedence.
 *
 * @throws {AppError} `template_not_found`, `template_failed`
 */
export function renderTemplate(draft: Draft, templates: Pick<Templates, 'render'>): Message {
  const { template, envelope, content } = draft;
  if (template === null) return draft;
  const { subject, html, text } = templates.render(template);
  if (envelope.subject === '' && subject === null) throw subjectMissing();
  return {
    ...draft,
    envelope: { ...envelope, subject: envelope.subject || (subject ?? '') },
    content: { ...content, html, text },
  };
}

function subjectMissing(): AppError {
  const detail = 'The template has no subject.txt: give a subject.';
  return new AppError('template_failed', {
    detail,
    errors: [{ pointer: '/subject', code: 'required', detail }],
  });
}
