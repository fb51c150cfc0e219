import { z } from 'zod';

/**
 * JSON Schemas of the values that a lenient schema accepts in addition to the schema it wraps, for
 * the OpenAPI document.
 */
const ALTERNATIVES = new WeakMap<z.core.$ZodType, z.core.JSONSchema.BaseSchema>();

/**
 * Returns the JSON Schema of the values that this module adds to a schema, also after `.meta()`;
 * undefined for other schemas.
 */
export function alternativeOf(schema: z.core.$ZodType): z.core.JSONSchema.BaseSchema | undefined {
  const { parent } = schema._zod;
  return ALTERNATIVES.get(schema) ?? (parent && alternativeOf(parent));
}

/**
 * Makes a field of a body optional. `null` and `""` count as absent, because many clients cannot
 * omit a field.
 */
export function optional<Schema extends z.ZodType>(schema: Schema) {
  return absentIf([null, ''], schema);
}

/** Whether the value of an {@link optional} field counts as absent. */
export function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === '';
}

/** Makes a field of a body optional where `""` is a value. `null` counts as absent. */
export function optionalOrNull<Schema extends z.ZodType>(schema: Schema) {
  return absentIf([null], schema);
}

function absentIf<Schema extends z.ZodType>(values: readonly (null | '')[], schema: Schema) {
  const lenient = z.preprocess(
    (value) => ((values as readonly unknown[]).includes(value) ? undefined : value),
    schema.optional(),
  );
  ALTERNATIVES.set(lenient, { enum: [...values] });
  return lenient;
}

/** Accepts an empty list as an empty object: PHP's `json_encode` writes `[]` for both. */
export function objectOrEmptyList<Schema extends z.ZodType>(schema: Schema) {
  const lenient = z.preprocess((value) => (Array.isArray(value) && value.length === 0 ? {} : value), schema);
  ALTERNATIVES.set(lenient, { type: 'array', items: {}, maxItems: 0 });
  return lenient;
}
