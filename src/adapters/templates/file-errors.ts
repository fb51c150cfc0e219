/** What is wrong with the operator's templates, file by file, each with its mend. Nothing of their text is in it but names of tags. */
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
 * Makes each attempt, and goes on where one fails, so that all there is to mend is told at once.
 *
 * @throws {TemplatesError} with the problems of all of them, each once, by file
 */
export function collectProblems(attempts: Iterable<() => void>): void {
  const problems = new Set<string>();
  for (const attempt of attempts) {
    try {
      attempt();
    } catch (error) {
      if (!(error instanceof TemplatesError)) throw error;
      for (const problem of error.problems) problems.add(problem);
    }
  }
  if (problems.size > 0) throw new TemplatesError([...problems].sort());
}
