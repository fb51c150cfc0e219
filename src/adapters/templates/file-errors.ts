/**
 * The problems in the operator's templates, sorted by file, each with its fix. They quote only
 * names of tags from the files.
 */
export class TemplatesError extends Error {
  override readonly name = 'TemplatesError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(
      ['The templates in TEMPLATES_DIR cannot be used.', ...problems.map((problem) => `  ${problem}`)].join(
        '\n',
      ),
    );
    this.problems = problems;
  }
}

/**
 * Runs all steps even if some fail, so that all problems are reported together.
 *
 * @throws {TemplatesError} with the problems of all steps, without duplicates, sorted by file
 */
export function runAll(steps: Iterable<() => void>): void {
  const problems = new Set<string>();
  for (const step of steps) {
    try {
      step();
    } catch (error) {
      if (!(error instanceof TemplatesError)) throw error;
      for (const problem of error.problems) problems.add(problem);
    }
  }
  if (problems.size > 0) throw new TemplatesError([...problems].sort());
}
