import { closest } from 'fastest-levenshtein';
import type { z } from 'zod';
import { InvalidValue } from './values.ts';

/**
 * The entries of a setting that is a list in JSON, in their order.
 *
 * @param what an entry is
 * @throws {InvalidValue} when it is not a list of anything
 */
export function parseJsonList(json: string, what: string, example: string): unknown[] {
  const entries = parseJson(json, example);
  if (!Array.isArray(entries) || entries.length === 0) {
    throw new InvalidValue(`It must be a JSON list of at least one ${what}, such as ${example}.`);
  }
  return entries;
}

function parseJson(json: string, example: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    // What JSON.parse says has a part of the text in it.
    throw new InvalidValue(
      `It is not valid JSON. It must be a list such as ${example}, in single quotes if it stands in a shell or an .env file.`,
    );
  }
}

/**
 * What is wrong with the form of an entry, by its fields. No value is repeated.
 *
 * @param minimum what an entry has at least
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
