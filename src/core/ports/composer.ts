import type { Job } from '../delivery/outcome.ts';
import type { Attachment } from '../message/message.ts';

/** What a message becomes on the wire, without sending it. */
export interface Composed {
  /** Bytes, with CRLF line ends. */
  readonly size: number;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

export interface Composer {
  compose(job: Job): Promise<Composed>;
  /** Returns the media type that the attachment is sent with. */
  typeOf(attachment: Attachment): string;
}
