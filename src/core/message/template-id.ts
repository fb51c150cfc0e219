const TEMPLATE_ID = /^[a-z\d-][\w.-]{0,63}$/i;

/**
 * Whether a text is a template id: at most 64 letters, digits, `.`, `_` and `-`, not starting with
 * `.` or `_`.
 */
export function isTemplateId(text: string): boolean {
  return TEMPLATE_ID.test(text);
}
