/** smtp-server speaks in its own words; here is which of Gmail's replies says the same. */
import { isReplyName, type ReplyName } from './replies.ts';

const BY_CONTEXT: ReadonlyMap<string, ReplyName> = new Map([
  ['MAIL_FROM_OK', 'senderOk'],
  ['RCPT_TO_OK', 'recipientOk'],
  ['MESSAGE_TOO_BIG', 'messageTooLarge'],
  ['TOO_MANY_RECIPIENTS', 'tooManyRecipients'],
  ['SENDER_SYNTAX_ERROR', 'invalidSender'],
  ['MAILBOX_SYNTAX_ERROR', 'invalidRecipient'],
]);

const BY_WORDS: ReadonlyMap<string, ReplyName> = new Map([
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
 * The reply of Gmail's for what smtp-server is about to send. Null if there is none, as for the challenges of AUTH.
 *
 * @param words the text smtp-server chose, or the name of a reply that our own handlers asked for
 */
export function toReplyName(
  code: number,
  words: string,
  context: string | false | undefined,
): ReplyName | null {
  if (isReplyName(words)) return words;
  const known = BY_CONTEXT.get(context || '') ?? BY_WORDS.get(words);
  return known ?? (code === 501 ? 'syntaxError' : null);
}
