import { templateFailed } from './render-errors.ts';

/** What one message may cost to fill in, all its parts together. */
export interface RenderBudget {
  /**
   * One more tag, text or item.
   *
   * @throws {AppError} `template_failed` when it is one too many
   */
  step(): void;
  /**
   * So many characters more. Called before work is done on them.
   *
   * @throws {AppError} `template_failed` when they are too many
   */
  grow(characters: number): void;
}

/** Some 50 ms of work, in which nothing else happens. */
const MAX_STEPS = 250_000;
const MAX_CHARACTERS = 1_000_000;

export function createRenderBudget(): RenderBudget {
  let steps = 0;
  let length = 0;
  return {
    step() {
      if (++steps > MAX_STEPS)
        throw templateFailed('too_many', 'The template takes too long to fill in: give shorter lists.');
    },
    grow(characters) {
      length += characters;
      if (length <= MAX_CHARACTERS) return;
      throw templateFailed(
        'too_long',
        `Filled in, the template has more than ${MAX_CHARACTERS} characters: give shorter texts and lists.`,
      );
    },
  };
}
