import type { Fault } from '../../../core/delivery/outcome.ts';
import type { ErrorCode } from '../../../core/errors.ts';

/** What a reply means, whoever sends it and whenever. */
export interface Meaning {
  readonly error: ErrorCode;
  readonly scope: Fault['scope'];
  readonly retryable: boolean;
  readonly backoffMs: readonly number[] | null;
  /** Set where fewer recipients at a time may do. */
  readonly splits?: true;
  /** Set where the reply calls for more than the hint of its ErrorCode. */
  readonly hint?: string;
}

/** A reply that Gmail is known to give. */
export interface ReplyRow extends Meaning {
  readonly codes: readonly number[];
  /** Null where the text alone tells: Gmail has moved the same words to another enhanced code before (534 5.7.9 was 535 5.7.1). */
  readonly enhanced: string | null;
  /** Tried on the text with its lines joined and runs of blanks made one. */
  readonly match: RegExp;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const GOOGLE_TROUBLE = [1, 5, 15, 60, 240].map((minutes) => minutes * MINUTE);
/** Nothing is wrong but this connection: a new one at once, and the usual back-off only if that keeps happening. */
const AT_ONCE = [0, 5000, 30_000, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR];
/** A lock lasts up to 24 h, but the window is rolling and may free sooner: one message asks each hour. */
const EACH_HOUR = [HOUR];
const ANYTHING = /(?:)/;

const RELAY_LOGIN =
  'smtp-relay.gmail.com knows a sender by a registered address of this machine or by its login, and the domain of From must belong to the account.';

const forAccount = (error: ErrorCode, backoffMs: readonly number[] | null = null): Meaning => ({
  error,
  scope: 'account',
  retryable: true,
  backoffMs,
});
const forConnection = (error: ErrorCode): Meaning => ({
  error,
  scope: 'connection',
  retryable: true,
  backoffMs: AT_ONCE,
});
const later = (
  scope: Fault['scope'],
  backoffMs: readonly number[],
  error: ErrorCode = 'smtp_temporary_failure',
): Meaning => ({
  error,
  scope,
  retryable: true,
  backoffMs,
});
const never = (error: ErrorCode, scope: Fault['scope'] = 'message'): Meaning => ({
  error,
  scope,
  retryable: false,
  backoffMs: null,
});

/**
 * What Gmail says to a client that submits mail, the first row that fits. Wordings and waits: Google's "Gmail SMTP errors and codes"
 * (https://support.google.com/a/answer/3726730), its quotations in sisimai/rb-sisimai, and sessions in the public issues of nodemailer
 * (#317, #508, #653, #998, #1116, #1388, #1656). What Gmail's MX says to other servers comes to us only inside bounces and has no row.
 */
export const REPLIES: readonly ReplyRow[] = [
  // The login. All of these are the account's: they cost no message an attempt.
  {
    codes: [534, 535],
    enhanced: null,
    match: /application-specific password/i,
    ...forAccount('app_password_required'),
  },
  {
    codes: [534, 535],
    enhanced: null,
    match: /log in (?:with|via|through) your web browser/i,
    ...forAccount('web_login_required'),
  },
  { codes: [534], enhanced: '5.7.14', match: ANYTHING, ...forAccount('web_login_required') },
  { codes: [534, 535], enhanced: null, match: ANYTHING, ...forAccount('bad_credentials') },
  {
    codes: [421, 454],
    enhanced: null,
    match: /too many login attempts/i,
    ...forAccount('login_throttled', [15 * MINUTE, 30 * MINUTE, HOUR, 4 * HOUR]),
  },
  {
    codes: [454],
    enhanced: null,
    match: /cannot authenticate due to/i,
    ...forAccount('smtp_temporary_failure', GOOGLE_TROUBLE),
  },
  { codes: [530], enhanced: null, match: /must issue a starttls/i, ...forAccount('tls_failed') },
  {
    codes: [530],
    enhanced: null,
    match: ANYTHING,
    ...forAccount('bad_credentials'),
    hint: 'The server wants a login and got none: it did not offer AUTH, or GMAIL_USER and GMAIL_APP_PASSWORD are not set.',
  },
  { codes: [501], enhanced: null, match: /cannot decode response/i, ...forAccount('bad_credentials') },
  {
    codes: [504],
    enhanced: null,
    match: /unrecognized authentication type|xoauth is no longer/i,
    ...forAccount('bad_credentials'),
    hint: 'The server does not take this way of logging in. Check that SMTP_URL names Gmail.',
  },
  {
    codes: [554],
    enhanced: null,
    match: /too many unauthenticated commands/i,
    ...forAccount('bad_credentials'),
  },
  {
    codes: [550],
    enhanced: null,
    match: /mail relay denied|invalid credentials for relay/i,
    ...forAccount('bad_credentials'),
    hint: RELAY_LOGIN,
  },
  {
    codes: [550],
    enhanced: null,
    match: /mail sending denied/i,
    ...forAccount('bad_credentials'),
    hint: 'The sending account is disabled, or is not registered in the Workspace that owns the relay.',
  },

  // Limits of the account
  {
    codes: [550],
    enhanced: null,
    match: /daily (?:user )?sending (?:limit|quota)|daily smtp relay|email quota exceeded/i,
    ...forAccount('daily_limit_reached', EACH_HOUR),
  },
  { codes: [550], enhanced: '5.4.5', match: ANYTHING, ...forAccount('daily_limit_reached', EACH_HOUR) },
  {
    codes: [450],
    enhanced: null,
    match: /peak smtp relay limit/i,
    ...forAccount('throttled', [10 * MINUTE, 30 * MINUTE, HOUR]),
  },
  {
    codes: [421],
    enhanced: null,
    match: /^try again later/i,
    ...forAccount('throttled', [15 * MINUTE, HOUR, 4 * HOUR]),
    hint: 'Lower SMTP_CONNECTIONS. smtp-relay.gmail.com says this, too, to an address that is not on its allow-list.',
  },
  { codes: [421], enhanced: null, match: /server busy/i, ...forAccount('throttled', GOOGLE_TROUBLE) },
  {
    codes: [501],
    enhanced: null,
    match: /helo\/ehlo argument/i,
    ...forAccount('connect_failed'),
    hint: 'The server does not take the host name of this machine in EHLO: give it a full one, with a dot.',
  },

  // The connection
  { codes: [421], enhanced: null, match: /connection expired/i, ...forConnection('connection_lost') },
  {
    codes: [421, 451],
    enhanced: null,
    match: /timeout - closing connection/i,
    ...forConnection('connection_lost'),
  },
  {
    codes: [503],
    enhanced: null,
    match: /\bfirst\b|bad sequence|no data after bdat|no identity changes/i,
    ...forConnection('smtp_protocol_error'),
  },

  // One recipient
  {
    codes: [550],
    enhanced: null,
    match: /that you tried to reach (?:does not exist|is disabled|is inactive)/i,
    ...never('recipients_rejected', 'recipient'),
  },
  {
    codes: [553],
    enhanced: null,
    match: /find the recipient domain|recipient address .*not a valid/i,
    ...never('recipients_rejected', 'recipient'),
  },
  {
    codes: [452],
    enhanced: null,
    match: /over quota|out of storage space/i,
    ...later('recipient', [HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR], 'mailbox_full'),
  },
  {
    codes: [452],
    enhanced: '4.2.2',
    match: ANYTHING,
    ...later('recipient', [HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR], 'mailbox_full'),
  },
  {
    codes: [552],
    enhanced: null,
    match: /over quota|out of storage space/i,
    ...never('mailbox_full', 'recipient'),
  },
  {
    codes: [450],
    enhanced: null,
    match: /receiving mail too quickly/i,
    ...later('recipient', [5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR]),
  },
  {
    codes: [450],
    enhanced: null,
    match: /at a rate that prevents/i,
    ...later('recipient', [15 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR]),
  },
  // A 5yz that passes: the mailbox takes mail again when its rate has dropped.
  {
    codes: [550],
    enhanced: null,
    match: /at a rate that prevents/i,
    ...later('recipient', [4 * HOUR, 12 * HOUR, 24 * HOUR]),
  },
  {
    codes: [452],
    enhanced: null,
    match: /recipient in a separate transaction/i,
    ...later('recipient', AT_ONCE),
    splits: true,
  },
  {
    codes: [452, 550],
    enhanced: null,
    match: /too many recipients/i,
    ...later('message', AT_ONCE),
    splits: true,
  },
  {
    codes: [451],
    enhanced: null,
    match: /multiple destination domains/i,
    ...later('message', AT_ONCE),
    splits: true,
  },

  // The message
  { codes: [421], enhanced: null, match: /temporary system problem/i, ...later('message', GOOGLE_TROUBLE) },
  {
    codes: [451],
    enhanced: null,
    match: /mail server temporarily rejected/i,
    ...later('message', GOOGLE_TROUBLE),
  },
  { codes: [553], enhanced: null, match: /sender address .*not a valid/i, ...never('sender_rejected') },
  {
    codes: [550],
    enhanced: null,
    match: /\bgcdp\b|has a policy that prohibited/i,
    ...never('policy_rejected'),
  },
  { codes: [554], enhanced: null, match: /exceeded 50 hops/i, ...never('policy_rejected') },
  {
    codes: [550],
    enhanced: null,
    match:
      /likely unsolicited mail|missing a valid|multiple addresses in from|rfc 5322 compliant|disallowed header|encoded-word syntax/i,
    ...never('content_rejected'),
  },
  { codes: [554], enhanced: null, match: /message is malformed/i, ...never('content_rejected') },
  {
    codes: [552],
    enhanced: null,
    match: /message size limit|number of attachments|header size/i,
    ...never('message_too_large'),
  },
  {
    codes: [552],
    enhanced: null,
    match: /potential security issue|illegal attachment/i,
    ...never('attachment_blocked'),
  },
  { codes: [552], enhanced: '5.7.0', match: ANYTHING, ...never('attachment_blocked') },
  { codes: [451], enhanced: null, match: /smtp protocol violation/i, ...never('smtp_rejected') },
  { codes: [501], enhanced: null, match: /no parameters allowed/i, ...never('smtp_rejected') },
];

/**
 * A 5yz in words that nobody has written down, by what its enhanced code says (RFC 3463, section 3), the first that fits. Gmail's policy
 * replies (SPF, DKIM, DMARC, reputation) all are x.7.x.
 */
export const BY_ENHANCED: readonly { readonly enhanced: RegExp; readonly meaning: Meaning }[] = [
  { enhanced: /^5\.1\.[78]$/, meaning: never('sender_rejected') },
  { enhanced: /^5\.2\.2$/, meaning: never('mailbox_full', 'recipient') },
  { enhanced: /^5\.(?:2\.3|3\.4)$/, meaning: never('message_too_large') },
  { enhanced: /^5\.[12]\./, meaning: never('recipients_rejected', 'recipient') },
  { enhanced: /^5\.6\./, meaning: never('content_rejected') },
  { enhanced: /^5\.7\./, meaning: never('policy_rejected') },
];
