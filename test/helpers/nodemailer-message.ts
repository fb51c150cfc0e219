import { text as textOf } from 'node:stream/consumers';
import type { SendMailOptions } from 'nodemailer';
import MailComposer from 'nodemailer/lib/mail-composer';
import { mediaTypeOf } from '../../src/adapters/smtp/mime/compose.ts';
import { deriveText } from '../../src/adapters/smtp/mime/derived-text.ts';
import type { Job } from '../../src/core/delivery/outcome.ts';
import { type Address, toAddrSpec } from '../../src/core/message/address.ts';
import type { BodyText } from '../../src/core/message/body-text.ts';
import type { Attachment } from '../../src/core/message/message.ts';

/**
 * Composes a message by nodemailer's composer.
 *
 * @param unsubscribe values of List-Unsubscribe and List-Unsubscribe-Post, which its own options
 *   write wrongly
 */
export async function composeByNodemailer(
  job: Job,
  unsubscribe: Readonly<Record<string, string>>,
): Promise<Buffer> {
  const { id, messageId, date, envelope, content } = job;
  const options: SendMailOptions = {
    from: toAddress(envelope.from),
    to: envelope.to.map(toAddress),
    cc: envelope.cc.map(toAddress),
    replyTo: content.replyTo.map(toAddress),
    subject: envelope.subject,
    messageId,
    date: new Date(date),
    references: [...content.references],
    headers: Object.entries({ ...content.headers, ...unsubscribe }).map(([key, value]) => ({ key, value })),
    text: toText(content.text ?? (await deriveText(content.html ?? ''))),
    ...(content.inReplyTo === null ? {} : { inReplyTo: content.inReplyTo }),
    ...(content.html === null ? {} : { html: toText(content.html) }),
    ...(content.calendar === null
      ? {}
      : {
          icalEvent: {
            ...content.calendar,
            content: String(content.calendar.content),
            filename: 'invite.ics',
          },
        }),
    attachments: content.attachments.map(toAttachment),
    baseBoundary: id,
    newline: '\r\n',
    disableFileAccess: true,
    disableUrlAccess: true,
  };
  return Buffer.from(await textOf(new MailComposer(options).compile().createReadStream()));
}

/** Nodemailer leaves out a part whose text is an empty string. */
function toText(text: BodyText): string | Buffer {
  return String(text) || Buffer.alloc(0);
}

function toAddress({ email, name }: Address) {
  return { address: toAddrSpec(email), name: name ?? '' };
}

function toAttachment(file: Attachment) {
  return {
    filename: file.filename,
    content: Buffer.from(file.content),
    contentType: mediaTypeOf(file),
    contentDisposition: file.contentId === null ? ('attachment' as const) : ('inline' as const),
    ...(file.contentId === null ? {} : { cid: file.contentId }),
  };
}
