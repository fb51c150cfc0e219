/** A complete reply of a server (RFC 5321, section 4.2): its code, and its lines joined by LF, as received. */
export interface RawReply {
  readonly code: number;
  readonly text: string;
}

/** A server that extends a reply further than this is not speaking SMTP. */
const MAX_REPLY_BYTES = 64 * 1024;
const REPLY_LINE = /^([2-5]\d\d)(?:([ -])|$)/;

/** What bytes from a server came to. */
export type ReplyEvent =
  | { readonly kind: 'reply'; readonly reply: RawReply }
  /** The bytes are no SMTP reply; `text` is what was received. */
  | { readonly kind: 'garbage'; readonly text: string };

/** Cuts what a server sends into replies. Every line of a reply must have the same code. */
export interface ReplyReader {
  /** Calls the listener with each complete reply, in order; after garbage it must not be used again. */
  push(chunk: Buffer): void;
  /** Whether bytes wait for the rest of their reply. */
  readonly hasPartialReply: boolean;
  /** The beginning of a reply that has not ended. */
  readonly partial: string;
}

export function createReplyReader(onEvent: (event: ReplyEvent) => void): ReplyReader {
  let rest = '';
  let lines: string[] = [];
  let code = '';
  let failed = false;

  function fail(text: string) {
    failed = true;
    onEvent({ kind: 'garbage', text });
  }

  function readLine(line: string) {
    // An empty line between replies is passed over.
    if (line === '' && lines.length === 0) return;
    const match = REPLY_LINE.exec(line);
    lines.push(line);
    if (match === null || (lines.length > 1 && match[1] !== code)) return fail(lines.join('\n'));
    code = match[1] as string;
    if (match[2] === '-') return;
    const text = lines.join('\n');
    lines = [];
    onEvent({ kind: 'reply', reply: { code: Number(code), text } });
  }

  return {
    push(chunk) {
      if (failed) return;
      rest += chunk.toString('latin1');
      if (rest.length > MAX_REPLY_BYTES) return fail(rest.slice(0, 512));
      for (let end = rest.indexOf('\n'); end !== -1 && !failed; end = rest.indexOf('\n')) {
        const line = rest.slice(0, rest.charAt(end - 1) === '\r' ? end - 1 : end);
        rest = rest.slice(end + 1);
        readLine(line);
      }
      if (lines.length > 1000) fail(lines.slice(0, 5).join('\n'));
    },
    get hasPartialReply() {
      return rest !== '' || lines.length > 0;
    },
    get partial() {
      return [...lines, rest].join('\n').trim();
    },
  };
}
