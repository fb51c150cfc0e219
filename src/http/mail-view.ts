import type { FastifyReply } from 'fastify';

/** Mail can contain anything. In a frame of the page it runs no script and requests nothing. */
const CONTENT_SECURITY_POLICY =
  "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'";

/** Sends the html of a mail as a page of its own, for a frame. */
export function sendMailView(html: string, reply: FastifyReply): FastifyReply {
  return reply
    .header('content-security-policy', CONTENT_SECURITY_POLICY)
    .header('x-dns-prefetch-control', 'off')
    .type('text/html; charset=utf-8')
    .send(disableFrames(html));
}

/**
 * Disables the frames of a mail. The content security policy blocks their content, but Chromium
 * connects to their server before, which shows a sender that the mail was opened.
 */
function disableFrames(html: string): string {
  return html.replace(/<(i?frame)/gi, '<disabled-$1');
}
