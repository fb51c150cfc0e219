import { compile } from 'html-to-text';

/** Gmail itself clips a message at about 102 KB, and hostile HTML costs quadratic time: 100,000 characters take a quarter second at worst. */
const MAX_HTML_FOR_TEXT = 100_000;
const MAX_DERIVED_TEXT = 100_000;

const convert = compile({
  wordwrap: 78,
  limits: { maxDepth: 64, ellipsis: '…' },
  selectors: [
    { selector: 'title', format: 'skip' },
    { selector: 'img', options: { pathRewrite: () => '' } },
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

/** What a reader without HTML gets: the words, the addresses of links, what images stand for. Cut at 100,000 characters. */
export function textOf(html: string): string {
  const text = convert(html.slice(0, MAX_HTML_FOR_TEXT));
  const tidy = text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .replace(/\n{3,}/g, '\n\n');
  const cut = html.length > MAX_HTML_FOR_TEXT || tidy.length > MAX_DERIVED_TEXT;
  return cut ? `${tidy.slice(0, MAX_DERIVED_TEXT)}\n…`.toWellFormed() : tidy;
}
