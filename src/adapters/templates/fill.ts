import mustache from 'mustache';
import { hasControlCharacters } from '../../core/message/address.ts';
import type { Block, Node } from './compile.ts';
import type { RenderBudget } from './render-budget.ts';
import type { VariableErrors } from './render-errors.ts';
import { type Frame, type LookupResult, lookUp } from './variable-lookup.ts';
import type { VariableName } from './variable-name.ts';

/** What holds for a whole part of a template. */
export interface RenderContext {
  readonly budget: RenderBudget;
  readonly errors: VariableErrors;
  /** The text becomes a header. */
  readonly isHeader: boolean;
}

/**
 * Writes a block with what its names stand for in the frame. A variable that is missing, or no text where a text is wanted, is complained of,
 * and written as nothing, so that all such can be told.
 *
 * @throws {AppError} `template_failed` when it is too much
 */
export function fill(block: Block, frame: Frame, filling: RenderContext): string {
  let text = '';
  for (const node of block.nodes) {
    filling.budget.step();
    text += fillNode(node, frame, filling);
  }
  return text;
}

function fillNode(node: Node, frame: Frame, filling: RenderContext): string {
  switch (node.kind) {
    case 'text':
      filling.budget.grow(node.text.length);
      return node.text;
    case 'variable':
      return fillVariable(node.name, node.escaped, frame, filling);
    case 'section': {
      const found = resolve(node.name, frame, filling);
      if (isEmpty(found.value) !== node.inverted) return '';
      return node.inverted
        ? fill(node.block, frame, filling)
        : fillSection(node.block, found, frame, filling);
    }
    case 'partial':
      return fill(node.block, frame, filling);
  }
}

/** As Mustache has it: what JavaScript takes for false, and a list of nothing. */
function isEmpty(value: unknown): boolean {
  return !value || (Array.isArray(value) && value.length === 0);
}

function fillSection(
  block: Block,
  { value, pointer }: LookupResult,
  parent: Frame,
  filling: RenderContext,
): string {
  if (value === true) return fill(block, parent, filling);
  if (!Array.isArray(value)) return fill(block, { value, pointer, parent }, filling);
  let text = '';
  for (const [index, item] of value.entries()) {
    filling.budget.step();
    text += fill(block, { value: item, pointer: `${pointer}/${index}`, parent }, filling);
  }
  return text;
}

function fillVariable(name: VariableName, isEscaped: boolean, frame: Frame, filling: RenderContext): string {
  const { value, pointer } = resolve(name, frame, filling);
  if (value === undefined || value === null) return '';
  const problem = typeof value === 'object' ? describeKind(value) : describeText(String(value), filling);
  if (problem !== null) {
    filling.errors.add({ pointer, ...problem });
    return '';
  }
  const text = String(value);
  filling.budget.grow(text.length);
  const written = isEscaped ? mustache.escape(text) : text;
  filling.budget.grow(written.length - text.length);
  return written;
}

type Problem = Readonly<Record<'code' | 'detail', string>>;

function describeKind(value: object): Problem {
  const kind = Array.isArray(value) ? 'a list' : 'an object';
  return { code: 'not_a_text', detail: `The template wants a text or a number here, and this is ${kind}.` };
}

function describeText(text: string, { isHeader }: RenderContext): Problem | null {
  if (!text.isWellFormed())
    return { code: 'invalid_unicode', detail: 'Has half of a surrogate pair: send whole characters.' };
  if (text.includes('\0'))
    return { code: 'control_character', detail: 'Has a NUL character, U+0000: remove it.' };
  if (!isHeader || !hasControlCharacters(text)) return null;
  return {
    code: 'control_character',
    detail: 'Goes into the subject, and has a line break or another control character: remove it.',
  };
}

function resolve(name: VariableName, frame: Frame, { errors: complaints }: RenderContext): LookupResult {
  const found = lookUp(name, frame);
  if (found.value === undefined && !name.optional) {
    const detail = `The template needs it: give it, or have it marked as optional in the template, as {{${name.text}?}}.`;
    complaints.add({ pointer: found.pointer, code: 'missing_variable', detail });
  }
  return found;
}
