/** RFC 4648, section 4, to the letter: what decoders guess differently at is refused. Null if it is not. */
export function decodeBase64(text: string): Buffer<ArrayBuffer> | null {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  // Node skips what is no base64, so anything odd makes the result too short. It takes the URL alphabet as well.
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== (text.length / 4) * 3 - padding || text.includes('-') || text.includes('_')) return null;
  const end = text.slice(-4);
  return Buffer.from(end, 'base64').toString('base64') === end ? bytes : null;
}
