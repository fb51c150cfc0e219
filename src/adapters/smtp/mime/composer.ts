import MailComposer from 'nodemailer/lib/mail-composer';
import type { Composer } from '../../../core/ports/composer.ts';
import { toMailOptions, typeOf } from './mail-options.ts';

/** Composes as an attempt would, and only measures. */
export function createComposer(): Composer {
  return {
    async compose(job) {
      const node = new MailComposer(toMailOptions(job)).compile();
      const headers = parseHeaders(node.buildHeaders());
      let size = 0;
      for await (const chunk of node.createReadStream()) size += (chunk as Buffer).length;
      return { size, headers };
    },
    typeOf,
  };
}

/** A header block (RFC 5322, 2.2.3), unfolded. */
function parseHeaders(block: string) {
  return block
    .replace(/\r\n(?=[ \t])/g, '')
    .split('\r\n')
    .map((line) => {
      const colon = line.indexOf(':');
      return { name: line.slice(0, colon), value: line.slice(colon + 1).trim() };
    });
}
