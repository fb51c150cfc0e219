import mustache from 'mustache';
import { hasControlCharacters } from '../../core/message/address.ts';
import type { Block, Node } from './compile.ts';
import type { RenderBudget } from './render-budget.ts';
import type { VariableErrors } from './render-errors.ts';
import { type Frame, type LookupResult, lookUp } from './variable-lookup.ts';
import type { VariableName } from './variable-name.ts';

/** State of rendering one part of a template. */
export interface RenderContext {
  readonly budget: RenderBudget;
  readonly errors: VariableErrors;
  /** Whether the text becomes a header. */
  readonly isHeader: boolean;
}

/**
 * Renders a block with the variables of the frame. A variable that is missing or has the wrong type
 * is added to the errors and renders as nothing, so that all errors can be reported together.
 *
 * @throws {AppError} `template_failed` when the budget is exceeded
 */
export function renderBlock(block: Block, frame: Frame, context: RenderContext): string {
  let text = '';
  for (const node of block.nodes) {
    context.budget.step();
    text += renderNode(node, frame, context);
  }
  return text;
}

function renderNode(node: Node, frame: Frame, context: RenderContext): string {
  switch (node.kind) {
    case 'text':
      context.budget.grow(node.text.length);
      return node.text;
    case 'variable':
      return renderVariable(node.name, node.escaped, frame, context);
    case 'section': {
      const found = resolve(node.name, frame, context);
      if (isEmpty(found.value) !== node.inverted) return '';
      return node.inverted
        ? renderBlock(node.block, frame, context)
        : renderSection(node.block, found, frame, context);
    }
    case 'partial':
      return renderBlock(node.block, frame, context);
  }
}

/** Returns whether Mustache skips a section of this value: it is falsy or an empty list. */
function isEmpty(value: unknown): boolean {
  return !value || (Array.isArray(value) && value.length === 0);
}

function renderSection(
  block: Block,
  { value, pointer }: LookupResult,
  parent: Frame,
  context: RenderContext,
): string {
  if (value === true) return renderBlock(block, parent, context);
  if (!Array.isArray(value)) return renderBlock(block, { value, pointer, parent }, context);
  let text = '';
  for (const [index, item] of value.entries()) {
    context.budget.step();
    text += renderBlock(block, { value: item, pointer: `${pointer}/${index}`, parent }, context);
  }
  return text;
}

function renderVariable(
  name: VariableName,
  isEscaped: boolean,
  frame: Frame,
  context: RenderContext,
): string {
  const { value, pointer } = resolve(name, frame, context);
  if (value === undefined || value === null) return '';
  const problem = typeof value === 'object' ? checkKind(value) : checkText(String(value), context);
  if (problem !== null) {
    context.errors.add({ pointer, ...problem });
    return '';
  }
  const text = String(value);
  context.budget.grow(text.length);
  const output = isEscaped ? mustache.escape(text) : text;
  context.budget.grow(output.length - text.length);
  return output;
}

type Problem = Readonly<Record<'code' | 'detail', string>>;

function checkKind(value: object): Problem {
  const kind = Array.isArray(value) ? 'a list' : 'an object';
  return { code: 'not_a_text', detail: `The template expects a text or a number, but this is ${kind}.` };
}

function checkText(text: string, { isHeader }: RenderContext): Problem | null {
  if (!text.isWellFormed())
    return {
      code: 'invalid_unicode',
      detail: 'Contains half of a surrogate pair: send complete characters.',
    };
  if (text.includes('\0'))
    return { code: 'control_character', detail: 'Contains a NUL character, U+0000: remove it.' };
  if (!isHeader || !hasControlCharacters(text)) return null;
  return {
    code: 'control_character',
    detail: 'Contains a line break or another control character, and is used in the subject: remove it.',
  };
}

function resolve(name: VariableName, frame: Frame, { errors }: RenderContext): LookupResult {
  const found = lookUp(name, frame);
  if (found.value === undefined && !name.optional) {
    const detail = `The template requires this variable: provide it, or mark it as optional in the template: {{${name.text}?}}.`;
    errors.add({ pointer: found.pointer, code: 'missing_variable', detail });
  }
  return found;
}
