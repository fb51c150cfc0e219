import { templateFailed } from './render-errors.ts';

/** Limits the work of rendering one message, all its parts together. */
export interface RenderBudget {
  /**
   * Counts a tag, text or item.
   *
   * @throws {AppError} `template_failed` when there are too many
   */
  step(): void;
  /**
   * Counts characters of the result. Call it before work is done on them.
   *
   * @throws {AppError} `template_failed` when there are too many
   */
  grow(characters: number): void;
}

/** About 50 ms of work, which blocks the event loop. */
const MAX_STEPS = 250_000;
const MAX_CHARACTERS = 1_000_000;

export function createRenderBudget(): RenderBudget {
  let steps = 0;
  let length = 0;
  return {
    step() {
      if (++steps > MAX_STEPS)
        throw templateFailed('too_many', 'The template takes too long to render: send shorter lists.');
    },
    grow(characters) {
      length += characters;
      if (length <= MAX_CHARACTERS) return;
      throw templateFailed(
        'too_long',
        `The rendered template has more than ${MAX_CHARACTERS} characters: send shorter texts and lists.`,
      );
    },
  };
}
