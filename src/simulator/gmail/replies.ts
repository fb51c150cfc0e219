/**
 * The replies of smtp.gmail.com, line by line as they are sent. Gmail wraps long replies anywhere,
 * and starts a line that is only a URL with a second space. Clients that match the text must undo
 * that, so it is reproduced here. Sources: Google's help pages (3726730, 3221692, 166852) and
 * sessions quoted in public logs.
 *
 * Placeholders: `{id}` is the session's id, `{now}` the time in Unix seconds, `{address}` the
 * address in the client's last command, `{domain}` its domain, `{ip}` the client's IP address.
 */

import { domainOf } from './relay.ts';

/** Builds a reply to a protocol error: Gmail ends all of them with the same lines. */
function protocolError(code: number, enhanced: string, text: string, rfc = 5321): readonly string[] {
  return [
    ...text.split('\n').map((line) => `${code}-${enhanced} ${line}`),
    `${code}-${enhanced}  https://support.google.com/a/answer/3221692 and review RFC ${rfc}`,
    `${code} ${enhanced} specifications. {id} - gsmtp`,
  ];
}

/** Builds a reply to MAIL, RCPT or DATA out of order. */
function outOfSequence(text: string): readonly string[] {
  return protocolError(
    503,
    '5.5.1',
    `${text} A mail transaction protocol command was issued out of\nsequence. For more information, go to`,
  );
}

const TABLE = {
  greeting: ['220 smtp.gmail.com ESMTP {id} - gsmtp'],
  relayGreeting: ['220 smtp-relay.gmail.com ESMTP {id} - gsmtp'],
  readyForTls: ['220 2.0.0 Ready to start TLS'],
  closing: ['221 2.0.0 closing connection {id} - gsmtp'],
  loggedIn: ['235 2.7.0 Accepted'],
  ok: ['250 2.0.0 OK {id} - gsmtp'],
  flushed: ['250 2.1.5 Flushed {id} - gsmtp'],
  senderOk: ['250 2.1.0 OK {id} - gsmtp'],
  recipientOk: ['250 2.1.5 OK {id} - gsmtp'],
  accepted: ['250 2.0.0 OK  {now} {id} - gsmtp'],
  help: ['214 2.0.0  https://www.google.com/search?btnI&q=RFC+5321 {id} - gsmtp'],
  notVerified: ["252 2.1.5 Send some mail, I'll try my best {id} - gsmtp"],
  goAhead: ['354  Go ahead {id} - gsmtp'],

  // Logins
  starttlsFirst: protocolError(
    530,
    '5.7.0',
    'Must issue a STARTTLS command first. For more information, go to',
    3207,
  ),
  authenticationRequired: [
    '530-5.7.0 Authentication Required. For more information, go to',
    '530 5.7.0  https://support.google.com/mail/?p=WantAuthError {id} - gsmtp',
  ],
  badCredentials: [
    '535-5.7.8 Username and Password not accepted. For more information, go to',
    '535 5.7.8  https://support.google.com/mail/?p=BadCredentials {id} - gsmtp',
  ],
  appPasswordRequired: [
    '534-5.7.9 Application-specific password required. For more information, go to',
    '534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor {id} - gsmtp',
  ],
  webLoginRequired: [
    '534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKg',
    '534-5.7.14 W5W> Please log',
    '534-5.7.14 in via your web browser and then try again.',
    '534-5.7.14  Learn more at',
    '534 5.7.14  https://support.google.com/mail/answer/78754 {id} - gsmtp',
  ],
  tooManyLogins: ['454 4.7.0 Too many login attempts, please try again later. {id} - gsmtp'],
  cannotAuthenticateNow: [
    '454-4.7.0 Cannot authenticate due to temporary system problem. Try again later.',
    '454-4.7.0 For more information, go to',
    '454 4.7.0  https://support.google.com/a/answer/3221692 {id} - gsmtp',
  ],
  alreadyLoggedIn: ['503 5.7.0 No identity changes permitted. {id} - gsmtp'],
  unknownMechanism: ['504 5.7.4 Unrecognized Authentication Type. {id} - gsmtp'],
  cannotDecode: protocolError(501, '5.5.2', 'Cannot Decode response. For more information, go to', 4954),
  tooManyUnauthenticated: ['554 5.7.0 Too Many Unauthenticated commands. {id} - gsmtp'],

  // Senders, recipients, messages
  invalidSender: protocolError(
    553,
    '5.1.7',
    'The sender address <{address}> is not a valid RFC 5321 address. For more\ninformation, go to',
  ),
  invalidRecipient: protocolError(
    553,
    '5.1.3',
    'The recipient address <{address}> is not a valid RFC 5321 address. For more\ninformation, go to',
  ),
  noSuchUser: [
    '550-5.1.1 The email account that you tried to reach does not exist. Please try',
    "550-5.1.1 double-checking the recipient's email address for typos or",
    '550-5.1.1 unnecessary spaces. For more information, go to',
    '550 5.1.1  https://support.google.com/mail/?p=NoSuchUser {id} - gsmtp',
  ],
  mailboxFull: [
    '552-5.2.2 The email account that you tried to reach is over quota. Please direct',
    '552-5.2.2 the recipient to',
    '552 5.2.2  https://support.google.com/mail/?p=OverQuotaPerm {id} - gsmtp',
  ],
  receivingTooFast: [
    '450-4.2.1 The user you are trying to contact is receiving mail at a rate that',
    '450-4.2.1 prevents additional messages from being delivered. Please resend your',
    '450-4.2.1 message at a later time. If the user is able to receive mail at that',
    '450-4.2.1 time, your message will be delivered. For more information, go to',
    '450 4.2.1  https://support.google.com/mail/?p=ReceivingRate {id} - gsmtp',
  ],
  tooManyRecipients: [
    '452-4.5.3 Your message has too many recipients. For more information regarding',
    "452-4.5.3 Google's sending limits, go to",
    '452 4.5.3  https://support.google.com/mail/?p=TooManyRecipients {id} - gsmtp',
  ],
  separateTransaction: [
    '452-4.5.3 Domain policy size per transaction exceeded, please try this recipient',
    '452-4.5.3 in a separate transaction. For more information, go to',
    '452 4.5.3  https://support.google.com/a/answer/3221692 {id} - gsmtp',
  ],
  tooManyForSender: [
    '550-5.5.3 Too many recipients for this sender. For more information, go to',
    '550 5.5.3  https://support.google.com/a/answer/3221692 {id} - gsmtp',
  ],
  connectionExpired: ['421 4.7.0 Connection expired, try reconnecting. {id} - gsmtp'],
  tryAgainLater: ['421 4.7.0 Try again later, closing connection. {id} - gsmtp'],
  relayPeak: [
    '450-4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary',
    '450-4.2.1 error. For more information on SMTP relay limits, please contact your',
    '450-4.2.1 administrator or visit',
    '450 4.2.1  https://support.google.com/a/answer/6140680 {id} - gsmtp',
  ],
  relayEhloRefused: [
    '421-4.7.0 Try again later, closing connection. (EHLO) For more information,',
    '421-4.7.0 go to',
    '421 4.7.0  https://support.google.com/a/answer/3221692 {id} - gsmtp',
  ],
  relayInvalidCredentials: [
    "550-5.7.1 Invalid credentials for relay [{ip}]. The IP address you've",
    "550-5.7.1 registered in your Workspace SMTP Relay service doesn't match domain of",
    '550-5.7.1 the account this email is being sent from. If you are trying to relay',
    "550-5.7.1 mail from a domain that isn't registered under your Workspace account",
    '550-5.7.1 or has empty envelope-from, you must configure your mail server either',
    '550-5.7.1 to use SMTP AUTH to identify the sending domain or to present one of',
    '550-5.7.1 your domain names in the HELO or EHLO command. For more information,',
    '550-5.7.1 please visit',
    '550 5.7.1  https://support.google.com/a/answer/6140680#invalidcred {id} - gsmtp',
  ],
  relayDenied: [
    '550-5.7.0 Mail relay denied [{ip}]. Invalid credentials for relay for one of',
    '550-5.7.0 the domains in: {domain} (as obtained from HELO and MAIL FROM). Email is',
    "550-5.7.0 being sent from a domain or IP address which isn't registered in your",
    '550-5.7.0 Workspace account. Please login to your Workspace account and verify',
    '550-5.7.0 that your sending device IP address has been registered within the',
    '550-5.7.0 Workspace SMTP Relay Settings. For more information, please visit',
    '550 5.7.0  https://support.google.com/a/answer/6140680#maildenied {id} - gsmtp',
  ],
  dailyLimit: [
    '550-5.4.5 Daily user sending limit exceeded. For more information on Gmail',
    '550-5.4.5 sending limits go to',
    '550 5.4.5  https://support.google.com/a/answer/166852 {id} - gsmtp',
  ],
  messageTooLarge: [
    "552-5.3.4 Your message exceeded Google's message size limits. Please visit",
    '552-5.3.4  https://support.google.com/mail/?p=MaxSizeError to view our size',
    '552 5.3.4 guidelines. {id} - gsmtp',
  ],
  blockedContent: [
    '552-5.7.0 This message was blocked because its content presents a potential',
    '552-5.7.0 security issue. Please visit',
    '552-5.7.0  https://support.google.com/mail/?p=BlockedMessage to review our',
    '552 5.7.0 message content and attachment content guidelines. {id} - gsmtp',
  ],
  notSmtp: ['<html><title>This network asks you to sign in</title></html>'],

  // Protocol
  timeout: [
    '451-4.4.2 Timeout - closing connection. For more information, go to',
    '451 4.4.2  https://support.google.com/a/answer/3221692 {id} - gsmtp',
  ],
  starttlsRepeated: ['454 5.5.1 STARTTLS may not be repeated. {id} - gsmtp'],
  emptyHello: [
    '501-5.5.4 Empty HELO/EHLO argument not allowed, closing connection.',
    '501 5.5.4  https://support.google.com/mail/?p=helo {id} - gsmtp',
  ],
  noParameters: ['501 5.7.11 Syntax error (no parameters allowed). {id} - gsmtp'],
  unrecognized: ['502 5.5.1 Unrecognized command. {id} - gsmtp'],
  tooManyUnrecognized: ['502 5.5.1 Too many unrecognized commands, goodbye. {id} - gsmtp'],
  helloFirst: outOfSequence('EHLO/HELO first.'),
  mailFirst: outOfSequence('MAIL first.'),
  recipientFirst: outOfSequence('RCPT first.'),
  badSequence: outOfSequence('Bad sequence of commands.'),
  syntaxError: protocolError(
    555,
    '5.5.2',
    'Syntax error, cannot decode response. For more information, go to',
  ),
} as const satisfies Record<string, readonly string[]>;

export type ReplyName = keyof typeof TABLE;

/** Returns true if the server closes the connection after this reply (RFC 5321, section 3.8). */
export function closesConnection(name: ReplyName): boolean {
  return String(REPLIES.get(name)).startsWith('421');
}

/** The values of the placeholders. */
export interface ReplyValues {
  readonly id: string;
  readonly address: string;
  readonly ip: string;
}

const REPLIES = new Map(Object.entries(TABLE).map(([name, lines]) => [name, lines.join('\r\n')]));

export function isReplyName(text: string): text is ReplyName {
  return REPLIES.has(text);
}

/** Returns the reply as it is sent: lines separated by CRLF, without the last CRLF. */
export function toWire(name: ReplyName, values: ReplyValues): string {
  return String(REPLIES.get(name)).replace(
    /\{(id|now|address|domain|ip)\}/g,
    (_placeholder, key: keyof ReplyValues | 'now' | 'domain') => {
      if (key === 'now') return String(Math.floor(Date.now() / 1000));
      return key === 'domain' ? domainOf(values.address) : values[key];
    },
  );
}
