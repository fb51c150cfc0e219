/** A message parsed strictly, in contrast to parsers that tolerate anything. */
export interface RawMail {
  readonly headers: readonly RawHeader[];
  /** The headers of each MIME part, in order, at any depth. */
  readonly parts: readonly (readonly RawHeader[])[];
}

/** The value is unfolded, but not decoded. */
export interface RawHeader {
  readonly name: string;
  readonly value: string;
}

/** Without the CRLF (RFC 5322, 2.1.1 and RFC 5321, 4.5.3.1.6). */
const MAX_LINE_BYTES = 998;

/**
 * Parses a message as received, after removing dot-stuffing.
 *
 * @throws {Error} for a line ending that is not CRLF, a NUL, a line that is too long, and an
 *   invalid header (RFC 5322, 2.2)
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
  // Boundaries of nested parts differ from the outermost one only in their last digit.
  const boundaryPrefix = `--${boundary?.replace(/\d+$/, '')}`;
  const starts = lines.flatMap((line, index) =>
    line.startsWith(boundaryPrefix) && !line.endsWith('--') ? [index + 1] : [],
  );
  return { headers, parts: starts.map((start) => parseHeaders(lines.slice(start))) };
}

/** Parses the header block, which ends at the first empty line. Names become lower case. */
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
