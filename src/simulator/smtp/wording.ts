/** Maps the replies of smtp-server to those of Gmail with the same meaning. */
import { isReplyName, type ReplyName } from '../gmail/replies.ts';

const BY_CONTEXT: ReadonlyMap<string, ReplyName> = new Map([
  ['MAIL_FROM_OK', 'senderOk'],
  ['RCPT_TO_OK', 'recipientOk'],
  ['MESSAGE_TOO_BIG', 'messageTooLarge'],
  ['TOO_MANY_RECIPIENTS', 'tooManyRecipients'],
  ['SENDER_SYNTAX_ERROR', 'invalidSender'],
  ['MAILBOX_SYNTAX_ERROR', 'invalidRecipient'],
]);

const BY_TEXT: ReadonlyMap<string, ReplyName> = new Map([
  ['Ready to start TLS', 'readyForTls'],
  ['Bye', 'closing'],
  ['OK', 'ok'],
  ['Flushed', 'flushed'],
  ['See https://tools.ietf.org/html/rfc5321 for details', 'help'],
  ['Try to send something. No promises though', 'notVerified'],
  ['End data with <CR><LF>.<CR><LF>', 'goAhead'],
  ['Authentication successful', 'loggedIn'],
  ['Error: Must issue a STARTTLS command first', 'starttlsFirst'],
  ['Error: authentication Required', 'authenticationRequired'],
  ['Error: Username and Password not accepted', 'badCredentials'],
  ['Error: No identity changes permitted', 'alreadyLoggedIn'],
  ['Error: Unrecognized authentication type', 'unknownMechanism'],
  ['Error: invalid userdata', 'cannotDecode'],
  ['Error: missing username', 'cannotDecode'],
  ['Error: too many unauthenticated commands', 'tooManyUnauthenticated'],
  ['Timeout - closing connection', 'timeout'],
  ['Error: TLS already active', 'starttlsRepeated'],
  ['Error: syntax: STARTTLS', 'noParameters'],
  ['Error: command not recognized', 'unrecognized'],
  ['Error: too many unrecognized commands', 'tooManyUnrecognized'],
  ['Error: send HELO/EHLO first', 'helloFirst'],
  ['Error: need MAIL command', 'mailFirst'],
  ['Error: need RCPT command', 'recipientFirst'],
  ['Error: nested MAIL command', 'badSequence'],
]);

/**
 * Returns the name of Gmail's reply for the one that smtp-server is about to send. Null if there is
 * none, as for the challenges of AUTH.
 *
 * @param text the text of smtp-server, or the name of a reply from our own handlers
 */
export function toReplyName(
  code: number,
  text: string,
  context: string | false | undefined,
): ReplyName | null {
  if (isReplyName(text)) return text;
  const known = BY_CONTEXT.get(context || '') ?? BY_TEXT.get(text);
  return known ?? (code === 501 ? 'syntaxError' : null);
}
