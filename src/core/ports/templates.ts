import type { TemplateUse } from '../message/message.ts';

/** Describes a template. */
export interface TemplateInfo {
  readonly id: string;
  /** Whether it has this part. */
  readonly subject: boolean;
  readonly html: boolean;
  readonly text: boolean;
  readonly variables: readonly { readonly name: string; readonly required: boolean }[];
}

/** A rendered template. A part that it does not have is null. */
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
