import type { Delivery } from '../../core/delivery/delivery.ts';
import { type BodyText, toBytes } from '../../core/message/body-text.ts';
import type { Content } from '../../core/message/message.ts';
import type { MessageContent } from '../../core/messages.ts';
import type { Composed } from '../../core/ports/composer.ts';
import { escapeHtml } from '../escape-html.ts';
import type { ContentResource } from '../schemas/content.ts';

/** {@link ContentResource} with large texts as bytes. */
type ContentResult = Omit<ContentResource, 'text' | 'html'> & Pick<Content, 'text' | 'html'>;

/** Maximum size of all inline images in a page, in bytes of base64. */
const MAX_IMAGE_BYTES = 8 * 1024 * 1024;
const IMAGE_TYPE = /^image\/[a-z0-9.+-]+$/i;

/** The content of a message as JSON; `sendInPieces` turns bytes into text. */
export function toContentResource(
  { delivery, content }: MessageContent,
  { headers }: Pick<Composed, 'headers'>,
): ContentResult {
  return {
    id: delivery.id,
    subject: delivery.envelope.subject,
    headers: headers.map(({ name, value }) => ({ name, value })),
    text: content.text,
    html: content.html,
    attachments: delivery.attachments.map(({ filename, size, contentType }) => ({
      filename,
      size,
      content_type: contentType,
    })),
  };
}

/** The html of a message with its inline images as data URLs, or its text as a page. */
export function toContentPage({ delivery, content }: MessageContent): string {
  if (content.html !== null) return embedImages(toText(content.html), delivery, content);
  const text = escapeHtml(toText(content.text ?? ''));
  return `<!doctype html><meta charset="utf-8"><pre style="white-space:pre-wrap">${text}</pre>`;
}

/** Replaces `cid:` URLs of images, up to {@link MAX_IMAGE_BYTES}. Others stay, and load nothing. */
function embedImages(html: string, delivery: Delivery, { attachments }: Content): string {
  const urls = new Map<string, string>();
  for (const [i, { contentId, content }] of attachments.entries()) {
    const type = delivery.attachments[i]?.contentType ?? '';
    if (contentId === null || !IMAGE_TYPE.test(type) || content.length > MAX_IMAGE_BYTES) continue;
    urls.set(contentId, `data:${type};base64,${toBytes(content).toString('base64')}`);
  }
  if (urls.size === 0) return html;
  let bytes = 0;
  return html.replace(/\bcid:([^\s"'<>)]+)/gi, (whole, id: string) => {
    const url = urls.get(decodeId(id));
    if (url === undefined || bytes + url.length > MAX_IMAGE_BYTES) return whole;
    bytes += url.length;
    return url;
  });
}

/** Decodes the percent-encoded Content-ID of a cid URL (RFC 2392). */
function decodeId(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

function toText(text: BodyText): string {
  return typeof text === 'string' ? text : toBytes(text).toString();
}
