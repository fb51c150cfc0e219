import { parseTemplates } from '../../adapters/templates/catalogue.ts';
import { TemplatesError } from '../../adapters/templates/file-errors.ts';
import { readTemplateFiles } from '../../adapters/templates/files.ts';
import { type Check, fail, pass, skip, toCheck } from '../report.ts';

const ABOUT = { id: 'templates', name: 'Templates', target: 'TEMPLATES_DIR' } as const;

/** Reads and parses every template, as the service does when it starts. */
export async function checkTemplates(dir: string | null): Promise<Check[]> {
  if (dir === null) return [toCheck(ABOUT, skip('not set'))];
  try {
    const { size } = parseTemplates(await readTemplateFiles(dir));
    return [
      toCheck(ABOUT, pass(`${size === 1 ? 'one template' : `${size} templates`} in ${dir}, and no problem`)),
    ];
  } catch (error) {
    if (!(error instanceof TemplatesError)) throw error;
    return error.problems.map((problem) => toCheck(ABOUT, fail('templates_unusable', problem)));
  }
}
