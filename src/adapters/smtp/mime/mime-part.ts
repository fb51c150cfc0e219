import { type HeaderField, parameterized } from './header-field.ts';
import type { EncodedBody } from './transfer-encoding.ts';

/** A MIME entity (RFC 2045, section 2.4): header fields, and a body or parts. */
export type MimePart =
  | { readonly kind: 'leaf'; readonly fields: readonly HeaderField[]; readonly body: EncodedBody }
  | {
      readonly kind: 'multipart';
      readonly fields: readonly HeaderField[];
      readonly boundary: string;
      readonly parts: readonly MimePart[];
    };

export function leaf(
  type: string,
  parameters: Readonly<Record<string, string>>,
  body: EncodedBody,
  fields: readonly HeaderField[] = [],
): MimePart {
  return {
    kind: 'leaf',
    fields: [
      parameterized('Content-Type', type, parameters),
      `Content-Transfer-Encoding: ${body.encoding}`,
      ...fields,
    ],
    body,
  };
}

/** The parts as a multipart; a single part stays as it is. */
export function multipart(
  subtype: string,
  parts: readonly MimePart[],
  boundary: string,
  parameters: Readonly<Record<string, string>> = {},
): MimePart {
  const [only] = parts;
  if (parts.length === 1 && only) return only;
  const fields = [parameterized('Content-Type', `multipart/${subtype}`, { ...parameters, boundary })];
  return { kind: 'multipart', fields, boundary, parts };
}

/** Number of octets that {@link write} makes. Encodes nothing. */
export async function sizeOf(part: MimePart, fields: readonly HeaderField[] = []): Promise<number> {
  const header = Buffer.byteLength(headerOf(part, fields));
  if (part.kind === 'leaf') return header + (await part.body.size());
  const delimiter = part.boundary.length + '--\r\n'.length;
  let size = header + delimiter;
  for (const child of part.parts) size += delimiter + (await sizeOf(child)) + '\r\n'.length;
  return size;
}

function headerOf(part: MimePart, fields: readonly HeaderField[]): string {
  return `${[...fields, ...part.fields].join('\r\n')}\r\n\r\n`;
}

/** The bytes of a part from its header on: header text and slices of bodies. */
export function* write(part: MimePart, fields: readonly HeaderField[] = []): Generator<string | Buffer> {
  yield headerOf(part, fields);
  if (part.kind === 'leaf') {
    yield* part.body.slices();
    return;
  }
  for (const child of part.parts) {
    yield `--${part.boundary}\r\n`;
    yield* write(child);
    yield '\r\n';
  }
  yield `--${part.boundary}--`;
}
