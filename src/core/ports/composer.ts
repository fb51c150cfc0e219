import type { Job } from '../delivery/outcome.ts';
import type { Attachment } from '../message/message.ts';

/** A composed MIME message. */
export interface Composed {
  /** Size in bytes, with CRLF line ends. */
  readonly size: number;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

/** Composes MIME messages without sending them. */
export interface Composer {
  compose(job: Job): Promise<Composed>;
  /** Returns the media type that the attachment is sent with. */
  typeOf(attachment: Attachment): string;
}
