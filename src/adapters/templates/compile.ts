import mustache, { type TemplateSpans } from 'mustache';
import { TemplatesError } from './file-errors.ts';
import { PARTIALS } from './files.ts';
import { parseVariableName, type VariableName } from './variable-name.ts';

export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'variable'; readonly name: VariableName; readonly escaped: boolean }
  | {
      readonly kind: 'section';
      readonly name: VariableName;
      readonly inverted: boolean;
      readonly block: Block;
    }
  | { readonly kind: 'partial'; readonly block: Block };

/** The compiled content of a file, or of a section. */
export interface Block {
  readonly nodes: readonly Node[];
  /** Depth of nested sections and partials. */
  readonly height: number;
  /**
   * The variables in it, and whether each is required regardless of the values of other variables.
   */
  readonly variables: ReadonlyMap<string, boolean>;
}

const MAX_DEPTH = 64;

/** The text of a file, indented as the tag that includes it requires. */
interface Source {
  readonly path: string;
  readonly text: string;
  /** Files that include it, outermost first. */
  readonly includedFrom: readonly string[];
}

/**
 * Creates a compiler of files with all their partials. Each partial is parsed once for each
 * indentation.
 *
 * The syntax is Mustache's (https://mustache.github.io/mustache.5.html). A `?` after a name marks
 * an optional variable. The parser is that of the package mustache. Lambdas and inheritance are not
 * supported.
 *
 * @returns a function that compiles the file at a path, and throws a {@link TemplatesError} if the
 *   file or one of its partials has an error
 */
export function createCompiler(texts: ReadonlyMap<string, string>): (path: string) => Block {
  const compiled = new Map<string, Block>();

  function compile(source: Source): Block {
    const key = `${source.path}\0${source.text}`;
    const block = compiled.get(key) ?? compileSpans(parse(source), source, 0);
    compiled.set(key, block);
    return block;
  }

  function compileSpans(spans: TemplateSpans, source: Source, depth: number): Block {
    const nodes: Node[] = [];
    const variables = new Map<string, boolean>();
    let height = 0;

    function addVariable(name: string, required: boolean): void {
      if (name !== '.') variables.set(name, required || variables.get(name) === true);
    }

    function addNested(block: Block, start: number, isSection: boolean): Block {
      height = Math.max(height, 1 + block.height);
      if (depth + height > MAX_DEPTH)
        throw syntaxError(
          source,
          start,
          `sections and partials are nested deeper than ${MAX_DEPTH}: flatten them`,
        );
      for (const [name, required] of block.variables) addVariable(name, required && !isSection);
      return block;
    }

    for (const span of spans) {
      const [type, value, start] = span;
      if (type === 'text') {
        nodes.push({ kind: 'text', text: value });
      } else if (type === 'name' || type === '&') {
        const name = parseTag(value, source, start);
        addVariable(name.text, !name.optional);
        nodes.push({ kind: 'variable', name, escaped: type === 'name' && source.path.endsWith('.html') });
      } else if (span.length === 6) {
        const name = parseTag(value, source, start);
        addVariable(name.text, !name.optional);
        if (depth === MAX_DEPTH)
          throw syntaxError(source, start, `sections are nested deeper than ${MAX_DEPTH}: flatten them`);
        const block = addNested(compileSpans(span[4], source, depth + 1), start, true);
        nodes.push({ kind: 'section', name, inverted: type === '^', block });
      } else if (span.length === 7) {
        const block = addNested(compile(partialOf(span, source)), start, false);
        nodes.push({ kind: 'partial', block });
      }
    }
    return { nodes, height, variables };
  }

  function partialOf(
    [, name, start, , indentation, tagIndex, lineHasText]: PartialSpan,
    source: Source,
  ): Source {
    const path = `${PARTIALS}/${name}${source.path.slice(source.path.lastIndexOf('.'))}`;
    const text = texts.get(path);
    const within = [...source.includedFrom, source.path];
    if (text === undefined)
      throw syntaxError(
        source,
        start,
        `there is no partial ${path}: add it, or remove the tag {{> ${name}}}`,
      );
    if (within.includes(path)) {
      const cycle = [...within.slice(within.indexOf(path)), path].join(' includes ');
      throw syntaxError(source, start, `the partial includes itself (${cycle}): remove the tag`);
    }
    const isIndented = tagIndex === 0 && indentation !== '';
    return {
      path,
      text: isIndented ? new mustache.Writer().indentPartial(text, indentation, lineHasText) : text,
      includedFrom: within,
    };
  }

  return (path) => compile({ path, text: texts.get(path) ?? '', includedFrom: [] });
}

type PartialSpan = Extract<TemplateSpans[number], { readonly length: 7 }>;

function parse(source: Source): TemplateSpans {
  try {
    // A new writer, because mustache's default one caches every text that it parses.
    return new mustache.Writer().parse(source.text);
  } catch (error) {
    const { message } = error as Error;
    const [, what, section = '', at] =
      /^(Unclosed|Unopened) (?:tag|section "(.*)") at (\d+)$/s.exec(message) ?? [];
    if (what === undefined) throw syntaxError(source, null, `${message}: fix the tag`);
    // The parser reports an unclosed tag at the end of the file.
    if (section === '')
      throw syntaxError(source, null, 'a tag is not closed: look for a "{{" without a "}}"');
    if (what === 'Unopened')
      throw syntaxError(
        source,
        Number(at),
        `{{/${section}}} closes a section that is not open: remove it, or open the section before it`,
      );
    throw syntaxError(
      source,
      Number(at),
      `the section {{#${section}}} is not closed here: add {{/${section}}}`,
    );
  }
}

function parseTag(tag: string, source: Source, start: number): VariableName {
  const name = parseVariableName(tag);
  if (name !== null) return name;
  throw syntaxError(
    source,
    start,
    'a tag has no valid variable name: write it as {{name}} or {{user.name}}, and close the tag',
  );
}

function syntaxError({ path, text }: Source, at: number | null, problem: string): TemplatesError {
  const line = at === null ? '' : `, line ${text.slice(0, at).split('\n').length}`;
  return new TemplatesError([`${path}${line}: ${problem}.`]);
}
