const TEMPLATE_ID = /^[a-z\d-][\w.-]{0,63}$/i;

/** Whether a text may name a template: letters, digits, `.`, `_` and `-`, at most 64, the first neither `.` nor `_`. */
export function isTemplateId(text: string): boolean {
  return TEMPLATE_ID.test(text);
}
