import { parse } from 'yaml';
import type { ErrorCode } from '../../src/core/errors.ts';
import { openApiDocument } from '../../src/http/app.ts';

export interface Media {
  readonly schema: {
    readonly $ref?: string;
    readonly allOf?: readonly {
      readonly properties?: { readonly code?: { readonly enum: readonly ErrorCode[] } };
    }[];
  };
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

export interface DocumentedResponse {
  readonly description: string;
  readonly headers?: Readonly<Record<string, { readonly schema: { readonly type: string } }>>;
  readonly content?: Readonly<Record<string, Media>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required?: boolean;
  readonly example?: string;
  readonly schema: { readonly type?: string; readonly examples?: readonly string[] };
}

/** An operation with every reference but those to schemas resolved. */
export interface Operation {
  readonly operationId: string;
  readonly method: string;
  /** As in the document: `/messages/{id}`. */
  readonly path: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  /** Empty if the operation needs no key. */
  readonly security?: readonly object[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: {
    readonly content: { readonly 'application/json': Media };
  };
  readonly responses: Readonly<Record<string, DocumentedResponse>>;
}

/** Parses an OpenAPI document, and lists its operations and those of its webhooks. */
export function readDocument(yaml: string) {
  const document = parse(yaml);
  const list = (paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>): Operation[] =>
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        ...(resolve(operation, document.components) as Operation),
        path,
        method: method.toUpperCase(),
      })),
    );
  return { document, operations: list(document.paths), webhooks: list(document.webhooks) };
}

/** The document that the service serves. */
export async function readServedDocument() {
  return readDocument(await openApiDocument('0.0.0-test'));
}

/** Replaces references by the components that they name, except those to schemas. */
function resolve(
  part: unknown,
  components: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): unknown {
  if (typeof part !== 'object' || part === null) return part;
  if (Array.isArray(part)) return part.map((item) => resolve(item, components));
  const [, kind = '', name = ''] =
    /^#\/components\/(\w+)\/(.+)$/.exec('$ref' in part ? String(part.$ref) : '') ?? [];
  if (kind !== '' && kind !== 'schemas') {
    const component = components[kind]?.[name];
    if (component === undefined) throw new Error(`There is no component ${kind}/${name}`);
    return resolve(component, components);
  }
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, resolve(value, components)]));
}
