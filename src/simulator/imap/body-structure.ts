/** The BODYSTRUCTURE of a mail (RFC 3501, section 7.4.2). */
import { findField } from '../mailbox/header.ts';
import { toEnvelope } from './envelope.ts';
import { type FieldValue, type Part, parseFieldValue } from './parts.ts';
import { quote, quoteOrNil } from './text.ts';

/** @param isExtended false omits what the item BODY does not have */
export function toBodyStructure(part: Part, isExtended: boolean): string {
  const { contentType, parts } = part;
  const [type = '', subtype = ''] = contentType.value.toUpperCase().split('/', 2);
  const extension = [toDisposition(part), quoteOrNil(findField(part.fields, 'Content-Language')), 'NIL'];
  if (parts.length > 0) {
    const inner = parts.map((each) => toBodyStructure(each, isExtended)).join('');
    return list([
      `${inner} ${quote(subtype)}`,
      ...(isExtended ? [toParameters(contentType), ...extension] : []),
    ]);
  }
  return list([
    quote(type || 'TEXT'),
    quote(subtype || 'PLAIN'),
    toParameters(contentType),
    quoteOrNil(findField(part.fields, 'Content-ID')),
    quoteOrNil(findField(part.fields, 'Content-Description')),
    quote(findField(part.fields, 'Content-Transfer-Encoding')?.toUpperCase() ?? '7BIT'),
    String(part.body.length),
    ...toDetails(part, type, isExtended),
    ...(isExtended ? ['NIL', ...extension] : []),
  ]);
}

/** Returns what only text and messages have: the number of lines, and the inner structure. */
function toDetails({ body, message }: Part, type: string, isExtended: boolean): string[] {
  const lines = String(body.split('\n').length - 1);
  if (message) return [toEnvelope(body), toBodyStructure(message, isExtended), lines];
  return type === 'TEXT' ? [lines] : [];
}

function toDisposition({ fields }: Part): string {
  const text = findField(fields, 'Content-Disposition');
  if (text === null) return 'NIL';
  const disposition = parseFieldValue(text);
  return list([quote(disposition.value.toUpperCase()), toParameters(disposition)]);
}

function toParameters({ parameters }: FieldValue): string {
  if (parameters.length === 0) return 'NIL';
  return list(parameters.flatMap(([name, value]) => [quote(name.toUpperCase()), quote(value)]));
}

function list(items: readonly string[]): string {
  return `(${items.join(' ')})`;
}
