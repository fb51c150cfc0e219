import type { TemplateUse } from '../message/message.ts';

/** What there is to fill in. */
export interface TemplateInfo {
  readonly id: string;
  /** Which of its parts it has. */
  readonly subject: boolean;
  readonly html: boolean;
  readonly text: boolean;
  readonly variables: readonly { readonly name: string; readonly required: boolean }[];
}

/** What a template became; null for a part that it does not have. */
export interface Rendered {
  readonly subject: string | null;
  readonly html: string | null;
  readonly text: string | null;
}

/** The operator's templates. */
export interface Templates {
  list(): readonly TemplateInfo[];
  /** @throws {AppError} `template_not_found`, `template_failed` */
  render(use: TemplateUse): Rendered;
}
