/**
 * Every failure a caller can see, in one table. HTTP answers, message resources, logs, `/problems/{code}` and the docs all read it.
 * The code is the contract; titles and hints may be reworded.
 */

/** Who is at fault: the request, one message, or the sending account. */
export type ErrorScope = 'request' | 'message' | 'account';

export interface ErrorRow {
  /** HTTP status; for delivery codes, the status a waiting caller gets. */
  readonly status: number;
  /** Whether the same request may succeed later without a change by the caller. */
  readonly retryable: boolean;
  readonly scope: ErrorScope;
  readonly title: string;
  /** What to do about it, in one or two sentences. */
  readonly hint: string;
}

export const ERRORS = {
  // The request
  invalid_json: {
    status: 400,
    retryable: false,
    scope: 'request',
    title: 'The request cannot be read',
    hint: 'Send well-formed HTTP with one UTF-8 JSON object as its body: each key once, nested at most 32 deep.',
  },
  missing_api_key: {
    status: 401,
    retryable: false,
    scope: 'request',
    title: 'API key missing',
    hint: 'Send `Authorization: Bearer <secret>` or `X-API-Key: <secret>`, with a secret from API_KEYS.',
  },
  invalid_api_key: {
    status: 401,
    retryable: false,
    scope: 'request',
    title: 'API key not recognized',
    hint: 'Send the secret exactly as API_KEYS has it, without the key’s name: `Authorization: Bearer <secret>` or `X-API-Key: <secret>`.',
  },
  insufficient_scope: {
    status: 403,
    retryable: false,
    scope: 'request',
    title: 'The API key may not do this',
    hint: 'Use a key that has the scope: "send" to send and steer, "read" to look, "admin" for both, and for the messages of every key. API_KEYS says what each key has.',
  },
  sender_not_allowed: {
    status: 403,
    retryable: false,
    scope: 'request',
    title: 'No account may send as this address',
    hint: 'Send from the account itself or from one of its verified "Send mail as" addresses, which the operator lists in GMAIL_ALIASES; or leave from out. FROM_POLICY=rewrite moves other addresses to Reply-To. The allowed_from of a key may say less.',
  },
  recipient_not_allowed: {
    status: 403,
    retryable: false,
    scope: 'request',
    title: 'This recipient may not be written to',
    hint: 'The key, by allowed_recipients, or the service, by ALLOWED_RECIPIENTS, takes only certain addresses and domains: use one of these, or have the operator add it.',
  },
  not_found: {
    status: 404,
    retryable: false,
    scope: 'request',
    title: 'There is nothing at this address',
    hint: 'See /openapi.yaml or /docs for the routes there are.',
  },
  message_not_found: {
    status: 404,
    retryable: false,
    scope: 'request',
    title: 'No such message',
    hint: 'The id is wrong, another key sent the message, or it finished longer ago than RETAIN.',
  },
  method_not_allowed: {
    status: 405,
    retryable: false,
    scope: 'request',
    title: 'This address does not take that method',
    hint: 'The Allow header lists the methods it takes.',
  },
  request_timeout: {
    status: 408,
    retryable: true,
    scope: 'request',
    title: 'The request took too long to arrive',
    hint: 'Send the headers and the body without pauses, on a faster connection, or send smaller attachments.',
  },
  not_cancelable: {
    status: 409,
    retryable: false,
    scope: 'request',
    title: 'The message can no longer be canceled',
    hint: 'Only a scheduled, queued or deferred message can be canceled: not while it is being sent, and not when it is settled.',
  },
  not_retryable: {
    status: 409,
    retryable: false,
    scope: 'request',
    title: 'The message cannot be tried again',
    hint: 'Only a failed, uncertain or expired message can be tried again, for as long as it is kept (RETAIN). Send a new one.',
  },
  not_reschedulable: {
    status: 409,
    retryable: false,
    scope: 'request',
    title: 'The message is not scheduled any more',
    hint: 'Only a scheduled message has a time to change. Cancel it, if it is not being sent yet, and send a new one.',
  },
  idempotency_in_progress: {
    status: 409,
    retryable: true,
    scope: 'request',
    title: 'The first request with this Idempotency-Key is still being answered',
    hint: 'Wait a moment, then send the same request again to get its answer.',
  },
  message_too_large: {
    status: 413,
    retryable: false,
    scope: 'message',
    title: 'The message is larger than Gmail takes',
    hint: 'Attachments may have 25 MiB in all. Link to large files instead of attaching them.',
  },
  unsupported_media_type: {
    status: 415,
    retryable: false,
    scope: 'request',
    title: 'Only uncompressed JSON is accepted',
    hint: 'Send "Content-Type: application/json" and no Content-Encoding.',
  },
  validation_failed: {
    status: 422,
    retryable: false,
    scope: 'request',
    title: 'The request is not valid',
    hint: 'Mend each field named in errors.',
  },
  template_not_found: {
    status: 422,
    retryable: false,
    scope: 'request',
    title: 'There is no such template',
    hint: 'See GET /templates for the ids there are. The operator adds one as a directory in TEMPLATES_DIR.',
  },
  template_failed: {
    status: 422,
    retryable: false,
    scope: 'request',
    title: 'The template could not be filled in',
    hint: 'Give every variable that GET /templates lists as required; in the template, a name that ends in ? is optional.',
  },
  recipient_suppressed: {
    status: 422,
    retryable: false,
    scope: 'request',
    title: 'Mail to this recipient is suppressed',
    hint: 'Gmail refused the address for good, or somebody entered it: see GET /suppressions/{email}. Once it works again, DELETE /suppressions/{email}.',
  },
  idempotency_key_reused: {
    status: 422,
    retryable: false,
    scope: 'request',
    title: 'This Idempotency-Key was used with another request',
    hint: 'Use a new Idempotency-Key for each new message, and the same one only to repeat the same request.',
  },
  rate_limited: {
    status: 429,
    retryable: true,
    scope: 'request',
    title: 'Too many requests',
    hint: 'Wait as long as Retry-After says. The RateLimit header tells what is left.',
  },
  headers_too_large: {
    status: 431,
    retryable: false,
    scope: 'request',
    title: 'The request headers are too large',
    hint: 'Send less than 16 KiB of headers.',
  },
  internal_error: {
    status: 500,
    retryable: true,
    scope: 'request',
    title: 'Something went wrong in Outtray',
    hint: 'This is a bug. Report it with the request_id; the log line of that id says more.',
  },
  queue_full: {
    status: 503,
    retryable: true,
    scope: 'request',
    title: 'The queue is full',
    hint: 'Nothing was accepted. Send it again after Retry-After. If it stays full, see why mail is not going out, or raise QUEUE_MAX_MESSAGES and QUEUE_MAX_BYTES.',
  },
  queue_unavailable: {
    status: 503,
    retryable: true,
    scope: 'request',
    title: 'The queue cannot be reached',
    hint: 'Send it again after Retry-After, best with an Idempotency-Key: then nothing is sent twice. The operator must see to the queue.',
  },
  shutting_down: {
    status: 503,
    retryable: true,
    scope: 'request',
    title: 'The service is shutting down',
    hint: 'Nothing was accepted. Send it again after Retry-After, to another instance or after the restart.',
  },

  // Delivery, the message
  recipients_rejected: {
    status: 422,
    retryable: false,
    scope: 'message',
    title: 'Every recipient was refused',
    hint: 'Check the addresses for typing errors; each recipient has its own reply in recipients.',
  },
  mailbox_full: {
    status: 422,
    retryable: false,
    scope: 'message',
    title: 'The mailbox of the recipient is full',
    hint: 'Reach the recipient another way, or send again in a few days.',
  },
  content_rejected: {
    status: 422,
    retryable: false,
    scope: 'message',
    title: 'Gmail refused the content of the message',
    hint: 'Change what the reply objects to (links, wording, attachments, headers); the same message would be refused again.',
  },
  attachment_blocked: {
    status: 422,
    retryable: false,
    scope: 'message',
    title: 'An attachment is of a type that Gmail blocks',
    hint: 'Gmail takes no programs, scripts or installers, also not inside archives. Link to the file instead.',
  },
  sender_rejected: {
    status: 422,
    retryable: false,
    scope: 'message',
    title: 'The sender address was refused',
    hint: 'Send from the account itself or from one of its verified "Send mail as" addresses.',
  },
  policy_rejected: {
    status: 422,
    retryable: false,
    scope: 'message',
    title: 'A policy forbids this message',
    hint: 'A rule of the recipient’s or your own Workspace, or SPF, DKIM and DMARC of the From domain, refused it. The reply says which.',
  },
  smtp_rejected: {
    status: 502,
    retryable: false,
    scope: 'message',
    title: 'The mail server refused the message',
    hint: 'The reply in smtp says why. The same message would be refused again.',
  },
  retries_exhausted: {
    status: 502,
    retryable: true,
    scope: 'message',
    title: 'Gave up after trying for as long as RETRY_FOR allows',
    hint: 'The detail names the last failure. Mend its cause, then send the message again.',
  },
  delivery_uncertain: {
    status: 502,
    retryable: true,
    scope: 'message',
    title: 'It cannot be known whether the message was taken',
    hint: 'The connection broke after the message was sent and before the answer came. Look in the account’s Sent folder before sending it again.',
  },
  expired: {
    status: 504,
    retryable: false,
    scope: 'message',
    title: 'The message ran out of time',
    hint: 'expires_at passed before the mail server took it. Send it anew with a later expires_at, or none.',
  },

  // Delivery, the message, in passing: retried with back-off
  dns_failed: {
    status: 502,
    retryable: true,
    scope: 'message',
    title: 'The mail server’s name could not be resolved',
    hint: 'Check DNS on this machine and the host names in SMTP_URL. It is retried.',
  },
  connect_failed: {
    status: 502,
    retryable: true,
    scope: 'message',
    title: 'The mail server could not be reached',
    hint: 'Check SMTP_URL and the firewall for outgoing ports 587 and 465. It is retried.',
  },
  connect_timeout: {
    status: 502,
    retryable: true,
    scope: 'message',
    title: 'The mail server did not answer in time',
    hint: 'Most clouds block outgoing mail ports: ask the host to open 587 or 465. "smtp:" on port 465 or "smtps:" on 587 looks the same. It is retried.',
  },
  connection_lost: {
    status: 502,
    retryable: true,
    scope: 'message',
    title: 'The connection to the mail server broke',
    hint: 'It broke before the message was complete, so nothing was sent. It is retried.',
  },
  smtp_protocol_error: {
    status: 502,
    retryable: true,
    scope: 'message',
    title: 'The mail server said something that is not SMTP',
    hint: 'Something between here and Gmail may be rewriting SMTP (a firewall, a proxy), or SMTP_URL names another service. It is retried.',
  },
  smtp_temporary_failure: {
    status: 502,
    retryable: true,
    scope: 'message',
    title: 'The mail server refused for now',
    hint: 'It is retried as the reply suggests.',
  },

  // Delivery, the account: pauses the sender, never fails a message
  app_password_required: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'Gmail wants an app password',
    hint: 'Turn on 2-Step Verification, create an app password at https://myaccount.google.com/apppasswords and put its 16 letters in GMAIL_APP_PASSWORD.',
  },
  bad_credentials: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'Gmail refused the login',
    hint: 'GMAIL_APP_PASSWORD must be an app password (16 letters, not the account’s own password) and GMAIL_USER the full primary address. App passwords die when the account’s password changes: make a new one.',
  },
  web_login_required: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'Gmail wants a sign-in in a browser',
    hint: 'Sign in to the account once in a browser, confirm that it was you, then use an app password.',
  },
  login_throttled: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'Gmail counts too many logins',
    hint: 'Outtray waits at least 15 minutes before the next login. Lower SMTP_CONNECTIONS, and see that nothing else logs in to this account in a loop.',
  },
  oauth_grant_revoked: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'Google no longer honours the refresh token',
    hint: 'Consent again and set the new GMAIL_OAUTH_REFRESH_TOKEN. It dies with a change of the account’s password, after six months unused, and after seven days while the consent screen is in "Testing": publish it.',
  },
  oauth_client_unauthorized: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'Google does not let this OAuth client act for the account',
    hint: 'For a service account: in the Workspace admin console, delegate exactly the scope https://mail.google.com/ to its client id; a personal Gmail cannot be delegated. For a refresh token: it belongs to another client than GMAIL_OAUTH_CLIENT_ID.',
  },
  oauth_clock_skew: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'The clock of this machine is wrong',
    hint: 'Google refuses a signed request that is dated minutes off: set the clock, and keep it right with NTP.',
  },
  oauth_unreachable: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'Google’s token endpoint cannot be reached',
    hint: 'Let this machine connect to oauth2.googleapis.com on port 443. It is retried.',
  },
  oauth_failed: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'No access token could be had, or Gmail refused it',
    hint: 'Check the OAuth client’s id and secret, the scope https://mail.google.com/, and that GMAIL_USER is the account that consented. The detail says what Google objects to.',
  },
  daily_limit_reached: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'The account has reached Gmail’s sending limit',
    hint: 'Mail waits until the rolling 24 hours free it: 500 messages a day for a personal account, 2,000 for Workspace.',
  },
  throttled: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'Gmail asks this account to slow down',
    hint: 'Mail waits, then goes on. If it happens often, lower SMTP_CONNECTIONS.',
  },
  tls_failed: {
    status: 502,
    retryable: true,
    scope: 'account',
    title: 'No trusted encrypted connection to the mail server',
    hint: 'The certificate or the TLS handshake failed, or TLS was not offered: something may intercept TLS. Trust a company CA with NODE_EXTRA_CA_CERTS; certificate checks stay on.',
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export const ERROR_CODES = Object.keys(ERRORS) as ErrorCode[];

/** One thing wrong with one part of a request. */
export interface FieldError {
  /** JSON Pointer (RFC 6901) into the body, such as `/to/0`; `header:Name` for a header, `query:name` for a parameter of the query, `path:name` for a part of the path. */
  readonly pointer: string;
  /** A short machine-readable reason, such as `required`, `unknown_field`, `invalid_address`. */
  readonly code: string;
  /** What is wrong and how to mend it. */
  readonly detail: string;
}

/** One sentence for all of them: the first, and how many more there are. */
export function summarize(errors: readonly FieldError[]): string {
  const [first] = errors;
  const others = errors.length > 1 ? ` (and ${errors.length - 1} more, see errors)` : '';
  return first ? `${first.pointer || 'The body'}: ${first.detail}${others}` : 'The request is not valid.';
}

export interface AppErrorOptions {
  readonly detail?: string;
  readonly errors?: readonly FieldError[];
  /** Seconds, becomes Retry-After. */
  readonly retryAfter?: number;
  readonly cause?: unknown;
}

/** A failure with a row in {@link ERRORS}: what core and http throw when they refuse. Its text is meant for the caller to read. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly errors: readonly FieldError[];
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, options: AppErrorOptions = {}) {
    super(options.detail ?? ERRORS[code].title, { cause: options.cause });
    this.code = code;
    this.errors = options.errors ?? [];
    this.retryAfter = options.retryAfter;
  }
}
