import { parseTemplates } from '../../adapters/templates/catalogue.ts';
import { TemplatesError } from '../../adapters/templates/file-errors.ts';
import { readTemplateFiles } from '../../adapters/templates/files.ts';
import { type Check, fail, pass, skip, toCheck } from '../check.ts';

const SUBJECT = { id: 'templates', name: 'Templates', target: 'TEMPLATES_DIR' } as const;

/** Reads and parses every template, as the service does at startup. */
export async function checkTemplates(dir: string | null): Promise<Check[]> {
  if (dir === null) return [toCheck(SUBJECT, skip('not set'))];
  try {
    const { size } = parseTemplates(await readTemplateFiles(dir));
    return [
      toCheck(
        SUBJECT,
        pass(`${size === 1 ? 'one template' : `${size} templates`} in ${dir}, no problems found`),
      ),
    ];
  } catch (error) {
    if (!(error instanceof TemplatesError)) throw error;
    return error.problems.map((problem) => toCheck(SUBJECT, fail('templates_unusable', problem)));
  }
}
