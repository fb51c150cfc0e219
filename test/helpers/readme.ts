import { VARIABLES } from '../../src/config/variables.ts';
import { ERRORS } from '../../src/core/errors.ts';
import { TROUBLESHOOTING } from '../../src/doctor/troubleshooting.ts';

/** The README's tables as the code has them. */
export const README_TABLES: Readonly<Record<string, () => string>> = {
  configuration: () =>
    table(
      ['variable', 'default', 'meaning'],
      VARIABLES.map(({ name, default: value, required, meaning, secret }) => [
        `\`${name}\`${secret ? ' (secret)' : ''}`,
        value ? `\`${value}\`` : required ? 'required' : '',
        meaning,
      ]),
    ),
  errors: () =>
    table(
      ['code', 'HTTP', 'of the', 'again?', 'what it means, and what to do'],
      Object.entries(ERRORS).map(([code, { status, scope, retryable, title, hint }]) => [
        `\`${code}\``,
        String(status),
        scope,
        retryable ? 'yes' : 'no',
        `${title}. ${hint}`,
      ]),
    ),
  troubleshooting: () =>
    table(
      ['problem', 'seen as', 'what to do'],
      TROUBLESHOOTING.map(({ symptom, seenAs, fix }) => [symptom, seenAs, fix]),
    ),
};

/** The README with its tables as they ought to be. */
export function withTables(readme: string): string {
  let text = readme;
  for (const [name, render] of Object.entries(README_TABLES)) {
    const marked = new RegExp(`(<!-- ${name}: [^\\n]*-->\\n)[^]*?(<!-- /${name} -->)`);
    if (!marked.test(text)) throw new Error(`README.md has no place marked for the table of ${name}`);
    text = text.replace(marked, (_all, start: string, end: string) => `${start}\n${render()}\n\n${end}`);
  }
  return text;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
