/** A complete reply (RFC 5321, section 4.2): its code, and its lines joined by LF. */
export interface RawReply {
  readonly code: number;
  readonly text: string;
}

/** A longer reply is not accepted. */
const MAX_REPLY_BYTES = 64 * 1024;
const MAX_QUOTED_BYTES = 512;
const REPLY_LINE = /^([2-5]\d\d)(?:([ -])|$)/;

export type ReplyEvent =
  | { readonly kind: 'reply'; readonly reply: RawReply }
  /** The bytes are not an SMTP reply. */
  | { readonly kind: 'invalid'; readonly text: string };

/**
 * Cuts the bytes that a server sends into replies. All lines of a reply must have the same code.
 */
export interface ReplyReader {
  /**
   * Calls the listener with each complete reply, in order. Ignores everything after invalid bytes.
   */
  push(chunk: Buffer): void;
  /**
   * The server sends no more. A refusal that is cut short behind its code is passed to the listener
   * as it is.
   */
  end(): void;
  /** Whether bytes follow the reply that was last passed to the listener. */
  readonly hasMore: boolean;
}

export function createReplyReader(listener: (event: ReplyEvent) => void): ReplyReader {
  let rest = '';
  let lines: string[] = [];
  let length = 0;
  let isInvalid = false;

  function fail() {
    isInvalid = true;
    listener({ kind: 'invalid', text: [...lines, rest].join('\n').slice(0, MAX_QUOTED_BYTES) });
  }

  function handleLine(line: string) {
    // Empty lines between replies are skipped.
    if (line === '' && lines.length === 0) return;
    const [, code, separator] = REPLY_LINE.exec(line) ?? [];
    lines.push(line);
    length += line.length;
    if (code === undefined || !(lines[0] as string).startsWith(code)) return fail();
    if (separator === '-') return;
    const text = lines.join('\n');
    lines = [];
    length = 0;
    listener({ kind: 'reply', reply: { code: Number(code), text: decode(text) } });
  }

  return {
    push(chunk) {
      if (isInvalid) return;
      rest += chunk.toString('latin1');
      for (let end = rest.indexOf('\n'); end !== -1 && !isInvalid; end = rest.indexOf('\n')) {
        const line = rest.slice(0, end > 0 && rest[end - 1] === '\r' ? end - 1 : end);
        rest = rest.slice(end + 1);
        handleLine(line);
      }
      if (!isInvalid && rest.length + length > MAX_REPLY_BYTES) fail();
    },
    end() {
      const text = decode([...lines, rest].join('\n').trim());
      const code = /^([45]\d\d)[ -]/.exec(text)?.[1];
      [rest, lines] = ['', []];
      if (code !== undefined && !isInvalid) listener({ kind: 'reply', reply: { code: Number(code), text } });
    },
    get hasMore() {
      return rest !== '' || lines.length > 0;
    },
  };
}

/** Replies may be in UTF-8 (RFC 6531, section 3.7.4). Returns other bytes as Latin-1. */
function decode(text: string): string {
  if (!/[^\0-\x7f]/.test(text)) return text;
  const decoded = Buffer.from(text, 'latin1').toString();
  return decoded.includes('\ufffd') ? text : decoded;
}
