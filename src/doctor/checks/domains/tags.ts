/**
 * Parses a tag list such as `v=DKIM1; p=…` (RFC 6376, section 3.2). Returns null if it is none, or
 * if a tag occurs twice.
 */
export function parseTags(text: string): ReadonlyMap<string, string> | null {
  const tags = new Map<string, string>();
  for (const part of text.split(';').map((tag) => tag.trim())) {
    if (part === '') continue;
    const [, name, value = ''] = /^([a-z][a-z0-9_]*)\s*=\s*(.*)$/is.exec(part) ?? [];
    if (name === undefined || tags.has(name)) return null;
    tags.set(name, value.trim());
  }
  return tags;
}
