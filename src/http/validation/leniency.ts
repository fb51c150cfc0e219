import { z } from 'zod';

/** JSON Schemas of the values that a schema made here takes besides those of the schema it wraps, for the OpenAPI document. */
const ALSO_TAKEN = new WeakMap<z.core.$ZodType, z.core.JSONSchema.BaseSchema>();

/** Returns the JSON Schema of the values that this module adds to a schema; undefined for other schemas. `.meta()` makes a child of a schema. */
export function alsoTakenBy(schema: z.core.$ZodType): z.core.JSONSchema.BaseSchema | undefined {
  const { parent } = schema._zod;
  return ALSO_TAKEN.get(schema) ?? (parent && alsoTakenBy(parent));
}

/** Makes a field of a body optional. `null` and `""` count as absent, because many clients cannot omit a field. */
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
  ALSO_TAKEN.set(lenient, { enum: [...values] });
  return lenient;
}

/** Accepts an empty list as an empty object: PHP's `json_encode` writes `[]` for both. */
export function objectOrEmptyList<Schema extends z.ZodType>(schema: Schema) {
  const lenient = z.preprocess((value) => (Array.isArray(value) && value.length === 0 ? {} : value), schema);
  ALSO_TAKEN.set(lenient, { type: 'array', maxItems: 0 });
  return lenient;
}
