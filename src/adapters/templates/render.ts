import { hasControlCharacters } from '../../core/message/address.ts';
import type { Rendered } from '../../core/ports/templates.ts';
import type { TemplateParts } from './catalogue.ts';
import type { Block } from './compile.ts';
import { renderBlock } from './render-block.ts';
import { createRenderBudget } from './render-budget.ts';
import { createVariableErrors, templateFailed, toTemplateFailed, VARIABLES } from './render-errors.ts';

/** RFC 5322, section 2.1.1. */
const MAX_SUBJECT_LENGTH = 998;

/**
 * Renders a template. The time and the length of the result are bounded for any variables.
 *
 * @throws {AppError} `template_failed` with every variable that is missing or cannot be rendered
 */
export function render(parts: TemplateParts, variables: Readonly<Record<string, unknown>>): Rendered {
  const budget = createRenderBudget();
  const errors = createVariableErrors();

  function renderPart(block: Block | null, isHeader: boolean): string | null {
    return (
      block &&
      renderBlock(block, { value: variables, pointer: VARIABLES, parent: null }, { budget, errors, isHeader })
    );
  }

  const subject = renderPart(parts.subject, true);
  const html = renderPart(parts.html, false);
  const text = renderPart(parts.text, false);
  if (errors.all.length > 0) throw toTemplateFailed(errors.all);
  return { subject: subject === null ? null : toSubject(subject), html, text };
}

/** Removes the line breaks at the end of the file, and checks the subject. */
function toSubject(text: string): string {
  const subject = text.replace(/(?:\r?\n)+$/, '');
  if (subject.trim() === '')
    throw templateFailed('too_short', 'The rendered subject is empty: provide the variables that it uses.');
  if (hasControlCharacters(subject)) {
    const fix = 'keep subject.txt to one line, and end no partial in it with a line break';
    throw templateFailed(
      'control_character',
      `The rendered subject contains a line break or another control character: ${fix}.`,
    );
  }
  if (subject.length > MAX_SUBJECT_LENGTH) {
    const length = `${subject.length} characters, but at most ${MAX_SUBJECT_LENGTH} are allowed`;
    throw templateFailed('too_long', `The rendered subject has ${length}: send shorter variables.`);
  }
  return subject;
}
