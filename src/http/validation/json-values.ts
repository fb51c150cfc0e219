/** Whether a value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Decodes base64 strictly by RFC 4648, section 4, because lenient decoders disagree about
 * everything else. Line breaks, and blanks that indent the next line, are ignored, as MIME tools
 * write them (RFC 2045, section 6.8). Returns null for any other input.
 */
export function decodeBase64(text: string): Buffer<ArrayBuffer> | null {
  const digits = /[\r\n]/.test(text) ? text.replace(/[\r\n][\r\n\t ]*/g, '') : text;
  const padding = digits.endsWith('==') ? 2 : digits.endsWith('=') ? 1 : 0;
  // Node skips invalid characters, which makes the result too short. It also accepts the URL-safe
  // alphabet.
  const bytes = Buffer.from(digits, 'base64');
  if (bytes.length !== (digits.length / 4) * 3 - padding || digits.includes('-') || digits.includes('_'))
    return null;
  // The unused bits of the last digit must be zero.
  const end = digits.slice(-4);
  return Buffer.from(end, 'base64').toString('base64') === end ? bytes : null;
}
