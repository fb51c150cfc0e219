import { compile } from 'html-to-text';

/**
 * In characters. Gmail clips messages at about 102 KB, and hostile HTML takes quadratic time: 250
 * ms at worst for this size.
 */
const MAX_HTML_FOR_TEXT = 100_000;
const MAX_DERIVED_TEXT = 100_000;

/** Elements that mail clients do not show, such as preheaders. */
const HIDDEN = ['display:none', 'display: none', 'visibility:hidden', 'visibility: hidden', 'mso-hide:all']
  .map((style) => `[style*="${style}" i]`)
  .concat('[hidden]');

/** Invisible characters in a row, which pad a preheader. A single one can belong to a word. */
const PADDING = /(?:(?:\u00ad|\u034f|\u200b|\u200c|\u2060|\ufeff)[ \u00a0\u2007]*){3,}/g;

const convert = compile({
  wordwrap: 78,
  limits: { maxDepth: 64, ellipsis: '…' },
  // Unlike the built-in format, this one makes the alt text part of the text of a link around it.
  formatters: { alt: (element, _walk, builder) => builder.addInline(element.attribs?.alt ?? '', {}) },
  selectors: [
    { selector: 'title', format: 'skip' },
    ...HIDDEN.map((selector) => ({ selector, format: 'skip' })),
    { selector: 'img', format: 'alt' },
    {
      selector: 'a',
      options: {
        hideLinkHrefIfSameAsText: true,
        pathRewrite: (href: string) => (/^\s*(?:javascript|data|cid):/i.test(href) ? '' : href),
      },
    },
    ...['h1', 'h2', 'h3', 'h4', 'h5', 'h6'].map((selector) => ({ selector, options: { uppercase: false } })),
    { selector: 'tr', format: 'block', options: { leadingLineBreaks: 1, trailingLineBreaks: 1 } },
    ...['td', 'th'].map((selector) => ({ selector, format: 'inlineSurround', options: { suffix: ' ' } })),
  ],
});

/**
 * Derives the plain-text alternative: the visible text, link addresses and alt texts of images. Cut
 * at 100,000 characters.
 */
export function textOf(html: string): string {
  const text = convert(html.slice(0, MAX_HTML_FOR_TEXT));
  const tidy = text
    .replace(PADDING, ' ')
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .replace(/\n{3,}/g, '\n\n');
  const cut = html.length > MAX_HTML_FOR_TEXT || tidy.length > MAX_DERIVED_TEXT;
  return cut ? `${tidy.slice(0, MAX_DERIVED_TEXT)}\n…`.toWellFormed() : tidy;
}
