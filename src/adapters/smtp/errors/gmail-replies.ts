import { isIP } from 'node:net';
import type { Fault } from '../../../core/delivery/outcome.ts';
import { ERRORS, type ErrorCode } from '../../../core/errors.ts';
import { HOUR, MINUTE } from '../../../core/time.ts';

/**
 * What an error means, before the stage of the session is considered: a Fault without its texts.
 */
export interface Classification {
  readonly error: ErrorCode;
  readonly scope: Fault['scope'];
  readonly retryable: boolean;
  readonly backoffMs: readonly number[] | null;
  /** Set if sending to fewer recipients per transaction may succeed. */
  readonly splits?: true;
  /** Replaces the hint of the ErrorCode. A function derives it from the text of the reply. */
  readonly hint?: string | ((response: string) => string);
}

/** A reply that Gmail is known to send. */
export interface ReplyRow extends Classification {
  readonly codes: readonly number[];
  /**
   * Null if the text alone decides: Gmail has moved a text to another enhanced code before (534
   * 5.7.9 was 535 5.7.1).
   */
  readonly enhanced: string | null;
  /** Matched against the text with its lines joined and runs of blanks collapsed. */
  readonly match: RegExp;
}

const GOOGLE_OUTAGE_BACKOFF_MS = [1, 5, 15, 60, 240].map((minutes) => minutes * MINUTE);
/** Only this connection is affected: retries at once, and backs off only if that keeps failing. */
const IMMEDIATE_BACKOFF_MS = [0, 5000, 30_000, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR];
/** The limit lasts up to 24 h, but its window is rolling: one message probes each hour. */
const HOURLY_BACKOFF_MS = [HOUR];
const ANYTHING = /(?:)/;

const forAccount = (error: ErrorCode, backoffMs: readonly number[] | null = null): Classification => ({
  error,
  scope: 'account',
  retryable: true,
  backoffMs,
});
const forConnection = (error: ErrorCode): Classification => ({
  error,
  scope: 'connection',
  retryable: true,
  backoffMs: IMMEDIATE_BACKOFF_MS,
});
const temporary = (
  scope: Fault['scope'],
  backoffMs: readonly number[],
  error: ErrorCode = 'smtp_temporary_failure',
): Classification => ({
  error,
  scope,
  retryable: true,
  backoffMs,
});
const permanent = (error: ErrorCode, scope: Fault['scope'] = 'message'): Classification => ({
  error,
  scope,
  retryable: false,
  backoffMs: null,
});

/** Names the IP address to allow, which only the server knows: this machine may be behind NAT. */
function relayDeniedHint(response: string): string {
  const { hint } = ERRORS.relay_denied;
  const words = response.match(/[0-9a-f.:]+/gi) ?? [];
  const address = words.map((word) => word.replace(/\.$/, '')).find((word) => isIP(word) !== 0);
  return address ? hint.replace('public IP address of this machine', `IP address ${address}`) : hint;
}

/**
 * Gmail's replies to a client that submits mail. The first matching row counts. Sources of texts
 * and waits: Google's "Gmail SMTP errors and codes" (https://support.google.com/a/answer/3726730),
 * its quotations in sisimai/rb-sisimai, and sessions in nodemailer's public issues (#317, #508,
 * #653, #998, #1116, #1388, #1656). Replies of Gmail's MX to other servers arrive only inside
 * bounces and have no row.
 */
export const REPLIES: readonly ReplyRow[] = [
  // Login. All of these are faults of the account and cost no message an attempt.
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
    ...forAccount('smtp_temporary_failure', GOOGLE_OUTAGE_BACKOFF_MS),
  },
  { codes: [530], enhanced: null, match: /must issue a starttls/i, ...forAccount('tls_failed') },
  {
    codes: [530],
    enhanced: null,
    match: ANYTHING,
    ...forAccount('bad_credentials'),
    hint: 'The server requires a login, but none was made: it did not offer AUTH, or GMAIL_USER and GMAIL_APP_PASSWORD are not set, or SMTP_URL has login=none.',
  },
  { codes: [501], enhanced: null, match: /cannot decode response/i, ...forAccount('bad_credentials') },
  {
    codes: [504],
    enhanced: null,
    match: /unrecognized authentication type|xoauth is no longer/i,
    ...forAccount('bad_credentials'),
    hint: 'The server does not support this authentication mechanism. Check that SMTP_URL names Gmail.',
  },
  {
    codes: [554],
    enhanced: null,
    match: /too many unauthenticated commands/i,
    ...forAccount('bad_credentials'),
  },

  // The relay, and other servers that know their clients by IP address: Postfix, Exim, Sendmail,
  // Exchange
  {
    codes: [550],
    enhanced: null,
    match: /mail relay denied|invalid credentials for relay/i,
    ...forAccount('relay_denied'),
    hint: relayDeniedHint,
  },
  {
    codes: [550],
    enhanced: null,
    match: /mail sending denied/i,
    ...forAccount('relay_denied'),
    hint: 'The sending account is disabled, or is not registered in the Workspace that owns the relay. Send from an address of that Workspace.',
  },
  {
    codes: [450, 454, 550, 553, 554],
    enhanced: null,
    match:
      /relay access denied|relaying (?:is )?(?:denied|not allowed)|relay not permitted|unable to relay|client host rejected/i,
    ...forAccount('relay_denied'),
    hint: 'The server in SMTP_URL accepts mail only from clients that it knows. Ask its administrator to allow the IP address of this machine (in Postfix: mynetworks), or use a login.',
  },
  {
    codes: [421],
    enhanced: null,
    match: /^try again later.*\(EHLO\)/i,
    ...forAccount('ehlo_refused', [15 * MINUTE, HOUR, 4 * HOUR]),
    hint: `${ERRORS.ehlo_refused.hint} From smtp.gmail.com this reply means too many connections: lower SMTP_CONNECTIONS.`,
  },
  {
    codes: [450, 501, 504, 550, 554],
    enhanced: null,
    match:
      /helo\/ehlo argument|\b(?:helo|ehlo) command rejected|(?:invalid|bad|illegal).{0,40}\b(?:helo|ehlo)\b|\b(?:helo|ehlo)\b.{0,40}(?:invalid|not valid)/i,
    ...forAccount('ehlo_refused'),
  },

  // Limits of the account.
  {
    codes: [550],
    enhanced: null,
    match: /daily (?:user )?sending (?:limit|quota)|daily smtp relay|email quota exceeded/i,
    ...forAccount('daily_limit_reached', HOURLY_BACKOFF_MS),
  },
  {
    codes: [550],
    enhanced: '5.4.5',
    match: ANYTHING,
    ...forAccount('daily_limit_reached', HOURLY_BACKOFF_MS),
  },
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
    hint: 'Lower SMTP_CONNECTIONS. smtp-relay.gmail.com also sends this reply to IP addresses that are not on its allow-list.',
  },
  {
    codes: [421],
    enhanced: null,
    match: /server busy/i,
    ...forAccount('throttled', GOOGLE_OUTAGE_BACKOFF_MS),
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
    ...permanent('recipients_rejected', 'recipient'),
  },
  {
    codes: [553],
    enhanced: null,
    match: /find the recipient domain|recipient address .*not a valid/i,
    ...permanent('recipients_rejected', 'recipient'),
  },
  {
    codes: [452],
    enhanced: null,
    match: /over quota|out of storage space/i,
    ...temporary('recipient', [HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR], 'mailbox_full'),
  },
  {
    codes: [452],
    enhanced: '4.2.2',
    match: ANYTHING,
    ...temporary('recipient', [HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR], 'mailbox_full'),
  },
  {
    codes: [552],
    enhanced: null,
    match: /over quota|out of storage space/i,
    ...permanent('mailbox_full', 'recipient'),
  },
  {
    codes: [450],
    enhanced: null,
    match: /receiving mail too quickly/i,
    ...temporary('recipient', [5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR]),
  },
  {
    codes: [450],
    enhanced: null,
    match: /at a rate that prevents/i,
    ...temporary('recipient', [15 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR]),
  },
  // A temporary 5yz: the mailbox accepts mail again once its rate has dropped.
  {
    codes: [550],
    enhanced: null,
    match: /at a rate that prevents/i,
    ...temporary('recipient', [4 * HOUR, 12 * HOUR, 24 * HOUR]),
  },
  {
    codes: [452],
    enhanced: null,
    match: /recipient in a separate transaction/i,
    ...temporary('recipient', IMMEDIATE_BACKOFF_MS),
    splits: true,
  },
  {
    codes: [452, 550],
    enhanced: null,
    match: /too many recipients/i,
    ...temporary('message', IMMEDIATE_BACKOFF_MS),
    splits: true,
  },
  {
    codes: [451],
    enhanced: null,
    match: /multiple destination domains/i,
    ...temporary('message', IMMEDIATE_BACKOFF_MS),
    splits: true,
  },

  // The message
  {
    codes: [421],
    enhanced: null,
    match: /temporary system problem/i,
    ...temporary('message', GOOGLE_OUTAGE_BACKOFF_MS),
  },
  {
    codes: [451],
    enhanced: null,
    match: /mail server temporarily rejected/i,
    ...temporary('message', GOOGLE_OUTAGE_BACKOFF_MS),
  },
  { codes: [553], enhanced: null, match: /sender address .*not a valid/i, ...permanent('sender_rejected') },
  {
    codes: [550],
    enhanced: null,
    match: /\bgcdp\b|has a policy that prohibited/i,
    ...permanent('policy_rejected'),
  },
  { codes: [554], enhanced: null, match: /exceeded 50 hops/i, ...permanent('policy_rejected') },
  {
    codes: [550],
    enhanced: null,
    match:
      /likely unsolicited mail|missing a valid|multiple addresses in from|rfc 5322 compliant|disallowed header|encoded-word syntax/i,
    ...permanent('content_rejected'),
  },
  { codes: [554], enhanced: null, match: /message is malformed/i, ...permanent('content_rejected') },
  {
    codes: [552],
    enhanced: null,
    match: /message size limit|number of attachments|header size/i,
    ...permanent('message_too_large'),
  },
  {
    codes: [552],
    enhanced: null,
    match: /potential security issue|illegal attachment/i,
    ...permanent('attachment_blocked'),
  },
  { codes: [552], enhanced: '5.7.0', match: ANYTHING, ...permanent('attachment_blocked') },
  { codes: [451], enhanced: null, match: /smtp protocol violation/i, ...permanent('smtp_rejected') },
  { codes: [501], enhanced: null, match: /no parameters allowed/i, ...permanent('smtp_rejected') },
];

/**
 * Classifies a 5yz reply without a row by its enhanced code (RFC 3463, section 3). The first match
 * counts. Gmail's policy replies (SPF, DKIM, DMARC, reputation) are all x.7.x.
 */
export const BY_ENHANCED_CODE: readonly {
  readonly enhanced: RegExp;
  readonly classification: Classification;
}[] = [
  { enhanced: /^5\.1\.[78]$/, classification: permanent('sender_rejected') },
  { enhanced: /^5\.2\.2$/, classification: permanent('mailbox_full', 'recipient') },
  { enhanced: /^5\.(?:2\.3|3\.4)$/, classification: permanent('message_too_large') },
  { enhanced: /^5\.[12]\./, classification: permanent('recipients_rejected', 'recipient') },
  { enhanced: /^5\.6\./, classification: permanent('content_rejected') },
  { enhanced: /^5\.7\./, classification: permanent('policy_rejected') },
];
