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

/** A file, or what stands in a section of it. */
export interface Block {
  readonly nodes: readonly Node[];
  /** How deep sections and partials are nested in it. */
  readonly height: number;
  /** The variables it names, and whether each is looked up and must be there whatever the others are. */
  readonly variables: ReadonlyMap<string, boolean>;
}

const MAX_DEPTH = 64;

/** A file, where and how it is included. */
interface Source {
  readonly path: string;
  readonly text: string;
  /** The files that include it, the outermost first. */
  readonly includedFrom: readonly string[];
}

/**
 * Compiles files with all their partials, each of which is parsed once for each indentation.
 *
 * The syntax is Mustache's (https://mustache.github.io/mustache.5.html), with `?` after a name for what may be missing. The parser is
 * mustache's own; lambdas and inheritance do not exist.
 *
 * @returns a function that compiles the file of a path, and throws a {@link TemplatesError} if it or a partial of it has a mistake
 */
export function createCompiler(texts: ReadonlyMap<string, string>): (path: string) => Block {
  const compiled = new Map<string, Block>();

  function compile(source: Source): Block {
    const key = `${source.path}\0${source.text}`;
    const block = compiled.get(key) ?? toBlock(parse(source), source, 0);
    compiled.set(key, block);
    return block;
  }

  function toBlock(spans: TemplateSpans, source: Source, depth: number): Block {
    const nodes: Node[] = [];
    const variables = new Map<string, boolean>();
    let height = 0;

    function mention(name: string, required: boolean): void {
      if (name !== '.') variables.set(name, required || variables.get(name) === true);
    }

    function nest(block: Block, start: number, isSection: boolean): Block {
      height = Math.max(height, 1 + block.height);
      if (depth + height > MAX_DEPTH)
        throw syntaxError(
          source,
          start,
          `sections and partials are nested deeper than ${MAX_DEPTH}: flatten them`,
        );
      for (const [name, required] of block.variables) mention(name, required && !isSection);
      return block;
    }

    for (const span of spans) {
      const [type, value, start] = span;
      if (type === 'text') {
        nodes.push({ kind: 'text', text: value });
      } else if (type === 'name' || type === '&') {
        const name = parseTag(value, source, start);
        mention(name.text, !name.optional);
        nodes.push({ kind: 'variable', name, escaped: type === 'name' && source.path.endsWith('.html') });
      } else if (span.length === 6) {
        const name = parseTag(value, source, start);
        mention(name.text, !name.optional);
        if (depth === MAX_DEPTH)
          throw syntaxError(source, start, `sections are nested deeper than ${MAX_DEPTH}: flatten them`);
        const block = nest(toBlock(span[4], source, depth + 1), start, true);
        nodes.push({ kind: 'section', name, inverted: type === '^', block });
      } else if (span.length === 7) {
        const block = nest(compile(partialOf(span, source)), start, false);
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
      const circle = [...within.slice(within.indexOf(path)), path].join(' includes ');
      throw syntaxError(
        source,
        start,
        `the partial includes itself, which has no end (${circle}): remove the tag`,
      );
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
    // A writer of its own: mustache's default one would keep every text it ever parsed.
    return new mustache.Writer().parse(source.text);
  } catch (error) {
    const { message } = error as Error;
    const [, what, section = '', at] =
      /^(Unclosed|Unopened) (?:tag|section "(.*)") at (\d+)$/s.exec(message) ?? [];
    if (what === undefined) throw syntaxError(source, null, `${message}: mend the tag`);
    // Of a tag that is never closed, the parser knows only that the file has ended.
    if (section === '')
      throw syntaxError(source, null, 'a tag is opened and never closed: look for a "{{" without its "}}"');
    if (what === 'Unopened')
      throw syntaxError(
        source,
        Number(at),
        `{{/${section}}} closes what is not open: remove it, or open it before`,
      );
    throw syntaxError(
      source,
      Number(at),
      `the section {{#${section}}} should be closed before this: add {{/${section}}}`,
    );
  }
}

function parseTag(tag: string, source: Source, start: number): VariableName {
  const name = parseVariableName(tag);
  if (name !== null) return name;
  throw syntaxError(
    source,
    start,
    'a tag holds no name of a variable: write it as {{name}} or {{user.name}}, and see that the tag is closed',
  );
}

function syntaxError({ path, text }: Source, at: number | null, problem: string): TemplatesError {
  const line = at === null ? '' : `, line ${text.slice(0, at).split('\n').length}`;
  return new TemplatesError([`${path}${line}: ${problem}.`]);
}
