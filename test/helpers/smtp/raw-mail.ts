/** What a message has in it to the letter, read without any mercy: the counterpart of parsers that make sense of everything. */
export interface RawMail {
  readonly headers: readonly RawHeader[];
  /** The headers of each MIME part, in order, at whatever depth. */
  readonly parts: readonly (readonly RawHeader[])[];
}

/** Its value unfolded, not decoded. */
export interface RawHeader {
  readonly name: string;
  readonly value: string;
}

/** RFC 5322, 2.1.1 and RFC 5321, 4.5.3.1.6: without its CRLF. */
const MAX_LINE_BYTES = 998;

/**
 * Reads a message as it came over the wire, its dots unstuffed.
 *
 * @throws {Error} for a line end that is not CRLF, a NUL, a line that is too long, and a header that is not one (RFC 5322, 2.2)
 */
export function parseRawMail(raw: string): RawMail {
  if (/[\r\n\0]/.test(raw.replaceAll('\r\n', '')))
    throw new Error('There is a CR, an LF or a NUL on its own');
  const lines = raw.split('\r\n');
  const long = lines.find((line) => Buffer.byteLength(line) > MAX_LINE_BYTES);
  if (long !== undefined) throw new Error(`A line is too long: ${long.slice(0, 100)}`);
  const headers = parseHeaders(lines);
  const boundary = /\bboundary="([^"]+)"/.exec(
    headers.find(({ name }) => name === 'content-type')?.value ?? '',
  )?.[1];
  // Boundaries of nested parts differ from the outermost in their last digit only.
  const stem = `--${boundary?.replace(/\d+$/, '')}`;
  const starts = lines.flatMap((line, index) =>
    line.startsWith(stem) && !line.endsWith('--') ? [index + 1] : [],
  );
  return { headers, parts: starts.map((start) => parseHeaders(lines.slice(start))) };
}

/** The block up to the first empty line. Names in lower case. */
function parseHeaders(lines: readonly string[]): RawHeader[] {
  const headers: RawHeader[] = [];
  for (const line of lines.slice(0, lines.indexOf(''))) {
    const [, name, value = ''] = /^([!-9;-~]+):(?: (.*))?$/s.exec(line) ?? [];
    const last = headers.pop();
    if (name !== undefined) headers.push(...(last ? [last] : []), { name: name.toLowerCase(), value });
    else if (last && /^[ \t]+\S/.test(line)) headers.push({ ...last, value: last.value + line });
    else throw new Error(`Not a header line: ${JSON.stringify(line)}`);
  }
  return headers;
}
