import type { InboundMail } from '../../../core/inbound/inbound-mail.ts';
import { type Candidate, candidateOf, parseInbound } from './parse-inbound.ts';

/** What the thread reads. `isCut`: the mail has more bytes than these. */
export type InboundTask =
  | { readonly kind: 'headers'; readonly bytes: Uint8Array }
  | { readonly kind: 'mail'; readonly bytes: Uint8Array; readonly isCut: boolean };

/** Reads a mail in a worker thread. */
// biome-ignore lint/style/noDefaultExport: Tinypool calls the default export
export default function readInbound(task: InboundTask): Promise<Candidate | InboundMail> {
  return task.kind === 'headers' ? candidateOf(task.bytes) : parseInbound(task.bytes, task.isCut);
}
