import { closest } from 'fastest-levenshtein';
import type { z } from 'zod';
import { InvalidValue } from './value-parsers.ts';

/**
 * Returns the entries of a setting that is a JSON list, in their order.
 *
 * @param noun Names an entry in the error.
 * @throws {InvalidValue} If the text is not a JSON list, or the list is empty.
 */
export function parseJsonList(json: string, noun: string, example: string): unknown[] {
  const entries = parseJson(json, example);
  if (!Array.isArray(entries) || entries.length === 0) {
    throw new InvalidValue(`It must be a JSON list of at least one ${noun}, such as ${example}.`);
  }
  return entries;
}

function parseJson(json: string, example: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    // The message of JSON.parse repeats a part of the text.
    throw new InvalidValue(
      `It is not valid JSON. It must be a list such as ${example}, in single quotes in a shell or a .env file.`,
    );
  }
}

/**
 * Describes the problems in the form of an entry, by field. Repeats no value.
 *
 * @param minimum Names the fields that an entry needs.
 */
export function toProblems({ issues }: z.ZodError, fields: readonly string[], minimum: string): string[] {
  const problems = issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') return issue.keys.map((field) => describeUnknown(field, fields));
    const [field] = issue.path;
    return [
      field === undefined
        ? `It must be an object with at least ${minimum}.`
        : `${String(field)}: ${issue.message}`,
    ];
  });
  return [...new Set(problems)];
}

function describeUnknown(field: string, fields: readonly string[]): string {
  return `${JSON.stringify(field)} is not a field. The nearest name is ${closest(field.toLowerCase(), fields)}.`;
}
