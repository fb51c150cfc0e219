import type { Composer } from '../../../core/ports/composer.ts';
import { compose, mediaTypeOf } from './compose.ts';

/** Describes messages as an attempt composes them. */
export function createComposer(): Composer {
  return {
    async compose(job) {
      const { fields, size } = await compose(job);
      return { size: await size(), headers: fields.map(parseField) };
    },
    typeOf: mediaTypeOf,
  };
}

/** Splits a header field, and unfolds its lines (RFC 5322, section 2.2.3). */
function parseField(field: string) {
  const colon = field.indexOf(':');
  const value = field.slice(colon + 1).replace(/\r\n(?=[ \t])/g, '');
  return { name: field.slice(0, colon), value: value.trim() };
}
