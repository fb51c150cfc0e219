import { hasControlCharacters } from '../../core/message/address.ts';
import type { Rendered } from '../../core/ports/templates.ts';
import type { TemplateParts } from './catalogue.ts';
import type { Block } from './compile.ts';
import { fill } from './fill.ts';
import { createRenderBudget } from './render-budget.ts';
import { createVariableErrors, templateFailed, toTemplateFailed, VARIABLES } from './render-errors.ts';

/** RFC 5322, section 2.1.1. */
const MAX_SUBJECT_LENGTH = 998;

/**
 * Fills a template in. The time it takes and the length of what it makes are bounded, whatever the variables are.
 *
 * @throws {AppError} `template_failed` with every variable that is missing or cannot be written
 */
export function render(parts: TemplateParts, variables: Readonly<Record<string, unknown>>): Rendered {
  const budget = createRenderBudget();
  const complaints = createVariableErrors();

  function fillPart(block: Block | null, isHeader: boolean): string | null {
    return (
      block &&
      fill(
        block,
        { value: variables, pointer: VARIABLES, parent: null },
        { budget, errors: complaints, isHeader },
      )
    );
  }

  const subject = fillPart(parts.subject, true);
  const html = fillPart(parts.html, false);
  const text = fillPart(parts.text, false);
  if (complaints.all.length > 0) throw toTemplateFailed(complaints.all);
  return { subject: subject === null ? null : toSubject(subject), html, text };
}

/** Without the line break that ends the file. */
function toSubject(text: string): string {
  const subject = text.replace(/(?:\r?\n)+$/, '');
  if (subject.trim() === '')
    throw templateFailed(
      'too_short',
      'Filled in, the subject is empty: give the variables that stand in it.',
    );
  if (hasControlCharacters(subject)) {
    const mend = 'keep subject.txt to one line, and let no partial in it end with a line break';
    throw templateFailed(
      'control_character',
      `Filled in, the subject has a line break or another control character: ${mend}.`,
    );
  }
  if (subject.length > MAX_SUBJECT_LENGTH) {
    const limit = `${subject.length} characters, and at most ${MAX_SUBJECT_LENGTH} fit`;
    throw templateFailed('too_long', `Filled in, the subject has ${limit}: give shorter texts.`);
  }
  return subject;
}
