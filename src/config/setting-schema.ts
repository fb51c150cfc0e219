import { z } from 'zod';
import { AddressError } from '../core/message/address.ts';
import type { Problem, Setting } from './environment.ts';
import { InvalidValue } from './value-parsers.ts';
import { VARIABLES, type VariableName } from './variables.ts';

/** Adapts a parser to a schema: an error that it throws becomes an issue. */
export function parsed<Input, T>(parse: (input: Input) => T) {
  return (input: Input, context: z.RefinementCtx): T => {
    try {
      return parse(input);
    } catch (error) {
      if (!(error instanceof InvalidValue || error instanceof AddressError)) throw error;
      context.addIssue(error.message);
      return z.NEVER;
    }
  };
}

/** @param howToSet The message if it is missing. */
export function required<T>(howToSet: string, parse: (text: string) => T) {
  return z.string({ error: howToSet }).transform(parsed(parse));
}

export function optional<T>(parse: (text: string) => T) {
  return z.string().transform(parsed(parse)).optional();
}

/** The default is that of VARIABLES. */
export function defaulted<T>(name: VariableName, parse: (text: string) => T) {
  return z.string().prefault(defaultOf(name)).transform(parsed(parse));
}

/** Returns the default of a variable as text; empty if there is none. */
export function defaultOf(name: VariableName): string {
  return VARIABLES.find((variable) => variable.name === name)?.default ?? '';
}

/**
 * Parses the settings that the schema names. Returns their values, or null and a problem for each
 * setting that is missing or invalid.
 */
export function parseSettings<S extends z.ZodRawShape>(
  schema: z.ZodObject<S>,
  settings: Readonly<Record<keyof S & string, Setting>>,
): { values: z.infer<z.ZodObject<S>> | null; problems: Problem[] } {
  const names = Object.keys(schema.shape) as (keyof S & string)[];
  const result = schema.safeParse(Object.fromEntries(names.map((name) => [name, settings[name].text])));
  const problems = names.flatMap((name) => {
    const { label, problem } = settings[name];
    const message = problem ?? result.error?.issues.find(({ path }) => path[0] === name)?.message;
    return message === undefined ? [] : [{ variable: label, message }];
  });
  return { values: result.success && problems.length === 0 ? result.data : null, problems };
}
