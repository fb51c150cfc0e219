/**
 * Decodes RFC 4648, section 4, to the letter, since decoders guess differently at the rest. Only line breaks, and what indents the line after
 * them, may stand between, as MIME tools write them (RFC 2045, section 6.8). Returns null for anything else.
 */
export function decodeBase64(text: string): Buffer<ArrayBuffer> | null {
  const digits = /[\r\n]/.test(text) ? text.replace(/[\r\n][\r\n\t ]*/g, '') : text;
  const padding = digits.endsWith('==') ? 2 : digits.endsWith('=') ? 1 : 0;
  // Node skips what is no base64, so anything odd makes the result too short. It takes the URL alphabet as well.
  const bytes = Buffer.from(digits, 'base64');
  if (bytes.length !== (digits.length / 4) * 3 - padding || digits.includes('-') || digits.includes('_'))
    return null;
  const end = digits.slice(-4);
  return Buffer.from(end, 'base64').toString('base64') === end ? bytes : null;
}
