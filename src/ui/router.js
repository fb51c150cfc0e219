/**
 * A place on the page, from the fragment of the URL: `#/messages/msg_1?status=failed`.
 *
 * @typedef {object} Route
 * @property {string} view `messages`; empty for the start.
 * @property {readonly string[]} rest What follows in the path: `msg_1`.
 * @property {URLSearchParams} params
 */

/** @returns {Route} */
export function currentRoute() {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?', 2);
  const [view = '', ...rest] = path.split('/').map(decode);
  return { view, rest, params: new URLSearchParams(query) };
}

/**
 * Decodes a part of the URL; returns it as it is if it is malformed.
 *
 * @param {string} text
 */
export function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Returns the URL of a place on the page, for `href`.
 *
 * @param {readonly string[]} path
 * @param {Record<string, string | null | undefined>} [params] Empty values are left out.
 */
export function linkTo(path, params = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) if (value) search.set(name, value);
  const query = search.size > 0 ? `?${search}` : '';
  return `#/${path.map(encodeURIComponent).join('/')}${query}`;
}
