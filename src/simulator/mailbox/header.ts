export interface HeaderField {
  /** As written. */
  readonly name: string;
  /** Unfolded. */
  readonly value: string;
  /** The lines of the field, with CRLF. */
  readonly raw: string;
}

/** Returns the header with the empty line that ends it. */
export function headerOf(content: string): string {
  if (content.startsWith('\r\n')) return '\r\n';
  const end = content.indexOf('\r\n\r\n');
  return end < 0 ? content : content.slice(0, end + 4);
}

export function parseHeader(content: string): HeaderField[] {
  const lines = headerOf(content).match(/[^\r\n]+(?:\r\n[ \t][^\r\n]*)*(?:\r\n)?/g) ?? [];
  return lines.flatMap((raw) => {
    const colon = raw.indexOf(':');
    if (colon < 1) return [];
    const value = raw
      .slice(colon + 1)
      .replace(/\r\n(?=[ \t])/g, '')
      .trim();
    return [{ name: raw.slice(0, colon).trim(), value, raw }];
  });
}

/** Returns the value of the first field of this name; null if there is none. */
export function findField(fields: readonly HeaderField[], name: string): string | null {
  return fields.find((field) => field.name.toLowerCase() === name.toLowerCase())?.value ?? null;
}
