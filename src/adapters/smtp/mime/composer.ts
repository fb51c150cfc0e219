import MailComposer from 'nodemailer/lib/mail-composer';
import type { Composer } from '../../../core/ports/composer.ts';
import { mediaTypeOf, toMailOptions } from './mail-options.ts';

/** Composes messages as an attempt does, and only measures them. */
export function createComposer(): Composer {
  return {
    async compose(job) {
      const node = new MailComposer(toMailOptions(job)).compile();
      const headers = parseHeaders(node.buildHeaders());
      let size = 0;
      for await (const chunk of node.createReadStream()) size += (chunk as Buffer).length;
      return { size, headers };
    },
    typeOf: mediaTypeOf,
  };
}

/** Parses a header block and unfolds its lines (RFC 5322, 2.2.3). */
function parseHeaders(block: string) {
  return block
    .replace(/\r\n(?=[ \t])/g, '')
    .split('\r\n')
    .map((line) => {
      const colon = line.indexOf(':');
      return { name: line.slice(0, colon), value: line.slice(colon + 1).trim() };
    });
}
