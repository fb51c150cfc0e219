import type { TemplateInfo } from '../../core/ports/templates.ts';
import { type Block, createCompiler } from './compile.ts';
import { runAll, TemplatesError } from './file-errors.ts';
import { PART_FILES, type TemplateFiles } from './files.ts';

/** The compiled parts of a template. A part that it does not have is null. */
export type TemplateParts = Readonly<Record<keyof typeof PART_FILES, Block | null>>;

export interface Template {
  readonly info: TemplateInfo;
  readonly parts: TemplateParts;
}

/** The templates by id, sorted. */
export type Catalogue = ReadonlyMap<string, Template>;

/**
 * Compiles all templates.
 *
 * @throws {TemplatesError} listing every file with an error, including partials that are never used
 */
export function parseTemplates({ ids, texts }: TemplateFiles): Catalogue {
  const compile = createCompiler(texts);
  const templates = new Map<string, Template>();

  function parseTemplate(id: string): void {
    const toPart = (file: string) => (texts.has(`${id}/${file}`) ? compile(`${id}/${file}`) : null);
    const parts = {
      subject: toPart(PART_FILES.subject),
      html: toPart(PART_FILES.html),
      text: toPart(PART_FILES.text),
    };
    if (parts.html === null && parts.text === null) {
      const fix = 'add one of them, or begin the name of the directory with "_" to exclude it';
      throw new TemplatesError([`${id} has neither ${PART_FILES.html} nor ${PART_FILES.text}: ${fix}.`]);
    }
    templates.set(id, { info: toInfo(id, parts), parts });
  }

  // Files are also compiled individually: a template reports only its first error, and some
  // partials are not used by any template.
  runAll([
    ...[...texts.keys()].map((path) => () => compile(path)),
    ...ids.map((id) => () => parseTemplate(id)),
  ]);
  return templates;
}

function toInfo(id: string, parts: TemplateParts): TemplateInfo {
  const variables = new Map<string, boolean>();
  for (const block of Object.values(parts)) {
    for (const [name, required] of block?.variables ?? [])
      variables.set(name, required || variables.get(name) === true);
  }
  return {
    id,
    subject: parts.subject !== null,
    html: parts.html !== null,
    text: parts.text !== null,
    variables: Array.from(variables, ([name, required]) => ({ name, required })),
  };
}
