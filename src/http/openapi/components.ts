type Kind = 'responses' | 'parameters' | 'headers' | 'examples';

export interface Reference {
  readonly $ref: string;
}

/** The shared parts of a document. */
export interface Components {
  readonly byKind: Readonly<Record<Kind, Readonly<Record<string, object>>>>;
  /**
   * Returns a reference to a component with this value, which is added with this name if there is
   * none.
   *
   * @throws {Error} if another component of this kind has the name
   */
  add(kind: Kind, name: string, value: object): Reference;
}

export function createComponents(): Components {
  const byKind: Record<Kind, Record<string, object>> = {
    responses: {},
    parameters: {},
    headers: {},
    examples: {},
  };
  return {
    byKind,
    add(kind, name, value) {
      const json = JSON.stringify(value);
      const known = Object.entries(byKind[kind]).find(([, other]) => JSON.stringify(other) === json);
      if (known) return { $ref: `#/components/${kind}/${known[0]}` };
      if (name in byKind[kind]) throw new Error(`Two different components.${kind} are named ${name}`);
      byKind[kind][name] = value;
      return { $ref: `#/components/${kind}/${name}` };
    },
  };
}

/**
 * Moves parameters that several operations have into components. The lists are changed in place.
 */
export function shareParameters(
  lists: readonly (Reference | { readonly name: string })[][],
  components: Components,
): void {
  const counts = new Map<string, number>();
  for (const parameter of lists.flat()) {
    const json = JSON.stringify(parameter);
    counts.set(json, (counts.get(json) ?? 0) + 1);
  }
  for (const list of lists) {
    for (const [i, parameter] of list.entries()) {
      if ('name' in parameter && (counts.get(JSON.stringify(parameter)) ?? 0) > 1)
        list[i] = components.add('parameters', parameter.name, parameter);
    }
  }
}
