/** Mail can contain anything. In a frame of the page it runs no script and requests nothing. */
export const MAIL_VIEW_CSP =
  "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'";

/**
 * Disables the frames of a mail. The content security policy blocks their content, but Chromium
 * connects to their server before, which shows a sender that the mail was opened.
 */
export function disableFrames(html: string): string {
  return html.replace(/<(i?frame)/gi, '<disabled-$1');
}
