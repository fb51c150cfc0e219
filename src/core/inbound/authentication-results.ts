/** One result of an Authentication-Results field, such as `dmarc=pass header.from=example.com`. */
export interface AuthenticationResult {
  /** In lower case. */
  readonly method: string;
  /** In lower case. */
  readonly result: string;
  /** Values by `type.property` in lower case. The first of several equal ones counts. */
  readonly properties: ReadonlyMap<string, string>;
}

export interface AuthenticationResults {
  /** The server that did the checks, in lower case. */
  readonly authservId: string;
  /** Null: the syntax is invalid. */
  readonly results: readonly AuthenticationResult[] | null;
}

/** Longer fields are refused. Gmail's have about 500 characters. */
const MAX_LENGTH = 16_384;

const KEYWORD = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/i;
const METHOD = /^([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\/\d+)?$/i;
const PROPERTY = /^([a-z0-9][a-z0-9-]*)\.([a-z0-9][a-z0-9_-]*)$/i;

/**
 * Parses the body of an Authentication-Results field (RFC 8601, section 2.2). Comments are dropped,
 * so that nothing in them counts: they can quote the sender.
 *
 * Gmail leaves the value of `smtp.mailfrom` empty if the envelope sender is, so a value may be
 * empty.
 *
 * @returns null if the field names no server
 */
export function parseAuthenticationResults(body: string): AuthenticationResults | null {
  const tokens = body.length > MAX_LENGTH ? null : tokenize(body);
  if (tokens === null) return toInvalid(body);
  const [head, ...sections] = splitAtSemicolons(tokens);
  const id = head?.[0];
  if (id === undefined || id.kind === 'equals' || !hasOnlyVersion(head?.slice(1) ?? [])) return null;
  return { authservId: id.text.toLowerCase(), results: parseResults(sections) };
}

function toInvalid(body: string): AuthenticationResults | null {
  const id = /^\s*([^\s;="()\\]{1,255})(?:\s+\d+)?\s*;/.exec(body)?.[1];
  return id === undefined ? null : { authservId: id.toLowerCase(), results: null };
}

function parseResults(sections: readonly Token[][]): AuthenticationResult[] | null {
  const results: AuthenticationResult[] = [];
  for (const section of sections) {
    // A semicolon at the end, and "; none".
    if (section.length === 0) continue;
    if (section.length === 1 && section[0]?.text.toLowerCase() === 'none') continue;
    const result = parseResult(section);
    if (result === null) return null;
    results.push(result);
  }
  return results;
}

interface Token {
  readonly kind: 'word' | 'quoted' | 'equals' | 'semicolon';
  readonly text: string;
  /** Whether white space or a comment comes before it. */
  readonly isApart: boolean;
}

const NEXT_TOKEN = /(\s+)|(\()|(;)|(=)|"((?:[^"\\]|\\[\s\S])*)"|([^\s;="()\\]+)/y;

function tokenize(text: string): Token[] | null {
  const tokens: Token[] = [];
  let isApart = false;
  let position = 0;
  while (position < text.length) {
    NEXT_TOKEN.lastIndex = position;
    const match = NEXT_TOKEN.exec(text);
    if (match === null) return null;
    const [, blank, comment, semicolon, equals, quoted, word] = match;
    if (comment !== undefined) {
      const end = endOfComment(text, position);
      if (end === null) return null;
      position = end;
      isApart = true;
      continue;
    }
    position = NEXT_TOKEN.lastIndex;
    if (blank !== undefined) {
      isApart = true;
      continue;
    }
    if (semicolon !== undefined) tokens.push({ kind: 'semicolon', text: ';', isApart });
    else if (equals !== undefined) tokens.push({ kind: 'equals', text: '=', isApart });
    else if (quoted !== undefined)
      tokens.push({ kind: 'quoted', text: quoted.replace(/\\([\s\S])/g, '$1'), isApart });
    else tokens.push({ kind: 'word', text: word ?? '', isApart });
    isApart = false;
  }
  return tokens;
}

/** Returns the position after a comment, which may contain others (RFC 5322, section 3.2.2). */
function endOfComment(text: string, start: number): number | null {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '(') depth++;
    else if (text[i] === ')' && --depth === 0) return i + 1;
  }
  return null;
}

function splitAtSemicolons(tokens: readonly Token[]): Token[][] {
  const sections: Token[][] = [[]];
  for (const token of tokens) {
    if (token.kind === 'semicolon') sections.push([]);
    else sections.at(-1)?.push(token);
  }
  return sections;
}

function hasOnlyVersion(tokens: readonly Token[]): boolean {
  return tokens.length === 0 || (tokens.length === 1 && /^\d+$/.test(tokens[0]?.text ?? ''));
}

/** `method = result`, then `reason = value` and `type.property = value` in any number. */
function parseResult(tokens: readonly Token[]): AuthenticationResult | null {
  const pairs = toPairs(tokens);
  const [first, ...rest] = pairs ?? [];
  const method = METHOD.exec(first?.[0] ?? '')?.[1];
  if (first === undefined || method === undefined || !KEYWORD.test(first[1])) return null;
  const properties = new Map<string, string>();
  for (const [name, value] of rest) {
    const key = name.toLowerCase();
    if (key === 'reason') continue;
    if (!PROPERTY.test(key)) return null;
    if (!properties.has(key)) properties.set(key, value);
  }
  return { method: method.toLowerCase(), result: first[1].toLowerCase(), properties };
}

/** Returns names with their values. An address with a quoted local part is one value. */
function toPairs(tokens: readonly Token[]): [string, string][] | null {
  const pairs: [string, string][] = [];
  let i = 0;
  while (i < tokens.length) {
    const name = tokens[i];
    if (name?.kind !== 'word' || tokens[i + 1]?.kind !== 'equals') return null;
    i += 2;
    let value = '';
    // The value ends where the next name begins. It is empty if that follows at once.
    for (let count = 0; i < tokens.length && tokens[i + 1]?.kind !== 'equals'; i++, count++) {
      const token = tokens[i];
      if (token === undefined || token.kind === 'equals' || (count > 0 && token.isApart)) return null;
      value += token.text;
    }
    pairs.push([name.text, value]);
  }
  return pairs;
}
