import type { Environment } from './environment.ts';
import { VARIABLES } from './variables.ts';

/** Whether a reload applies a variable: the keys and everything about accounts. */
function isReloadable(name: string): boolean {
  return name === 'API_KEYS' || name.startsWith('GMAIL_');
}

/** Returns the variables that differ between two environments and are applied only by a restart. */
export function findRestartChanges(before: Environment, after: Environment): string[] {
  const textOf = (env: Environment, name: string) => env[name]?.trim() ?? '';
  return VARIABLES.flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name])).filter(
    (name) => !isReloadable(name) && textOf(before, name) !== textOf(after, name),
  );
}
