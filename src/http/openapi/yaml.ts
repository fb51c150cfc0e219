/** Collections whose JSON is at most this long are written on one line. */
const MAX_INLINE_LENGTH = 100;

/**
 * Formats a document as YAML without aliases, which few OpenAPI tools support. Loads the library on
 * first use: it has 72 modules.
 */
export async function toYaml(value: object): Promise<string> {
  const { Document, visit } = await import('yaml');
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Collection(_key, node) {
      if (JSON.stringify(node).length <= MAX_INLINE_LENGTH) node.flow = true;
    },
  });
  return document.toString({ lineWidth: 110, flowCollectionPadding: false });
}
