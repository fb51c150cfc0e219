/**
 * Every failure that a client can see, in one table. HTTP responses, message resources, logs,
 * `/problems/{code}` and the docs read it. The code is the contract; titles and hints can change.
 */

/** What an error concerns: the request, one message, or the sending account. */
export type ErrorScope = 'request' | 'message' | 'account';

/**
 * Who can fix the cause: the caller, by another or a later request; or the operator of the service,
 * in its configuration, its network or its Gmail account.
 */
export type ErrorActor = 'caller' | 'operator';

export interface ErrorRow {
  /** HTTP status. For delivery codes, the status that a waiting client receives. */
  readonly status: number;
  /** Whether the same request can succeed later without a change by the client. */
  readonly retryable: boolean;
  readonly scope: ErrorScope;
  readonly actor: ErrorActor;
  readonly title: string;
  /** What happened, in one sentence. */
  readonly meaning: string;
  /** An instruction that fixes the cause, in one or two sentences. */
  readonly hint: string;
}

export const ERRORS = {
  // Errors of the request
  invalid_json: {
    status: 400,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Malformed request',
    meaning: 'The request is not valid HTTP, or its body is not one JSON object in UTF-8.',
    hint: 'Send well-formed HTTP with one UTF-8 JSON object as its body: each key once, nested at most 32 levels deep.',
  },
  missing_api_key: {
    status: 401,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'API key missing',
    meaning: 'The request has no API key, and this route needs one.',
    hint: 'Send `Authorization: Bearer <secret>` or `X-API-Key: <secret>`, with a secret from API_KEYS.',
  },
  invalid_api_key: {
    status: 401,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'API key not recognized',
    meaning: 'The secret in the request belongs to no API key of this service.',
    hint: 'Send the secret exactly as API_KEYS has it, without the key’s name: `Authorization: Bearer <secret>` or `X-API-Key: <secret>`.',
  },
  insufficient_scope: {
    status: 403,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'API key lacks the scope',
    meaning: 'The API key is valid, but may not use this route.',
    hint: 'Use a key with the scope that `detail` names: `send` to send and change messages, `read` to read them, `metrics` to read metrics, `admin` for all of this and for the messages of every key. API_KEYS lists the scopes of each key.',
  },
  cross_site_request: {
    status: 403,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Request from another site',
    meaning: 'The form comes from a page of another site, by its `Origin` or `Sec-Fetch-Site` header.',
    hint: 'Call the service from your server: a key in a page is public. Do not pass on these headers of a browser.',
  },
  sender_not_allowed: {
    status: 403,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Sender not allowed',
    meaning: 'No account, or not this API key, may send from the address in `from`.',
    hint: 'Send from the account itself or from one of its verified "Send mail as" addresses, which the operator lists in GMAIL_ALIASES; with the Workspace relay, from a domain in GMAIL_DOMAINS; or omit `from`. FROM_POLICY=rewrite moves other addresses to Reply-To. The `allowed_from` of a key may be narrower.',
  },
  recipient_not_allowed: {
    status: 403,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Recipient not allowed',
    meaning: 'The service or the API key may not send to this recipient.',
    hint: 'Send to an address that `allowed_recipients` of the key and ALLOWED_RECIPIENTS of the service allow, or ask the operator to add this one.',
  },
  not_found: {
    status: 404,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Not found',
    meaning: 'The path or the resource does not exist.',
    hint: 'Check the path: `/docs` and `/openapi.yaml` list the routes.',
  },
  message_not_found: {
    status: 404,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Message not found',
    meaning: 'This API key has no message with this id.',
    hint: 'Check the id. A message is unknown if another key sent it, or if it finished longer ago than RETAIN.',
  },
  method_not_allowed: {
    status: 405,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Method not allowed',
    meaning: 'The path exists, but not with this method.',
    hint: 'Use one of the methods in the Allow header.',
  },
  request_timeout: {
    status: 408,
    retryable: true,
    scope: 'request',
    actor: 'caller',
    title: 'Request timed out',
    meaning: 'The request did not arrive in full within 60 seconds.',
    hint: 'Send the headers and the body without pauses, over a faster connection, or with smaller attachments.',
  },
  not_cancelable: {
    status: 409,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Message can no longer be canceled',
    meaning: 'The message has a final status, or an attempt to send it is running.',
    hint: 'Cancel a message only while it is scheduled, queued or deferred, not during an attempt or after its end.',
  },
  not_retryable: {
    status: 409,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Message cannot be retried',
    meaning: 'The message did not fail, or its content is no longer stored.',
    hint: 'Retry only a failed, uncertain or expired message, while its content is kept (RETAIN). Otherwise send a new message.',
  },
  not_reconcilable: {
    status: 409,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Message cannot be searched for',
    meaning:
      'No attempt of the message ended with an unknown outcome, or a copy in Sent Mail would prove nothing.',
    hint: 'Search for a message only while it is uncertain, or waits after an attempt whose outcome is unknown.',
  },
  content_not_kept: {
    status: 410,
    retryable: false,
    scope: 'request',
    actor: 'operator',
    title: 'Content is no longer stored',
    meaning: 'The content of the message was dropped when the message was settled, or later.',
    hint: 'Set RETAIN_CONTENT to keep the content of messages after they are sent.',
  },
  invalid_ticket: {
    status: 403,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Ticket invalid or expired',
    meaning: 'The URL of the content is older than one minute, or was changed.',
    hint: 'Request a new URL with POST /messages/{id}/content/ticket, or POST /templates/{id}/preview for a template. It is valid for one minute.',
  },
  not_reschedulable: {
    status: 409,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Message is no longer scheduled',
    meaning: 'The message no longer waits for its `scheduled_at`.',
    hint: 'Change the time only of a scheduled message. Otherwise cancel the message, if no attempt is running, and send a new one.',
  },
  idempotency_in_progress: {
    status: 409,
    retryable: true,
    scope: 'request',
    actor: 'caller',
    title: 'First request with this Idempotency-Key still in progress',
    meaning: 'The service still processes an earlier request with the same Idempotency-Key.',
    hint: 'Wait a moment, then repeat the request to get its response.',
  },
  message_too_large: {
    status: 413,
    retryable: false,
    scope: 'message',
    actor: 'caller',
    title: 'Message too large',
    meaning: 'The message is larger than Gmail accepts, or the body larger than the service reads.',
    hint: 'Keep attachments below 25 MiB in total. Link to large files instead of attaching them.',
  },
  unsupported_media_type: {
    status: 415,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Unsupported media type',
    meaning: 'The body has a type or an encoding that the service does not read.',
    hint: 'Send a Content-Type that the operation accepts, such as `application/json`, and no Content-Encoding.',
  },
  validation_failed: {
    status: 422,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Invalid request',
    meaning: 'The body, a header or a parameter has fields that are missing, unknown or invalid.',
    hint: 'Fix every field listed in `errors`.',
  },
  template_not_found: {
    status: 422,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Template not found',
    meaning: 'The service has no template with this id.',
    hint: 'Use an id that GET /templates lists. The operator adds a template as a directory in TEMPLATES_DIR.',
  },
  template_failed: {
    status: 422,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Template could not be rendered',
    meaning: 'The template needs a variable that the request does not give, or cannot use its value.',
    hint: 'Give every variable that GET /templates lists as required. In a template, a name that ends in ? is optional.',
  },
  recipient_suppressed: {
    status: 422,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Recipient suppressed',
    meaning: 'Every recipient is on the list of suppressed addresses, to which no mail is sent.',
    hint: 'Read the reason at GET /suppressions/{email}: Gmail refused the address permanently, it bounced, or a caller suppressed it. Once the address works again, call DELETE /suppressions/{email}.',
  },
  idempotency_key_reused: {
    status: 422,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Idempotency-Key used with another request',
    meaning: 'An earlier, different request used this Idempotency-Key.',
    hint: 'Use a new Idempotency-Key for each new message. Use the same key only to repeat the same request.',
  },
  rate_limited: {
    status: 429,
    retryable: true,
    scope: 'request',
    actor: 'caller',
    title: 'Too many requests',
    meaning: 'The API key, or an address that sends invalid keys, exceeded its limit.',
    hint: 'Wait for the time in Retry-After. The RateLimit header shows what remains.',
  },
  headers_too_large: {
    status: 431,
    retryable: false,
    scope: 'request',
    actor: 'caller',
    title: 'Request headers too large',
    meaning: 'The headers of the request exceed what the service reads.',
    hint: 'Send less than 16 KiB of headers.',
  },
  internal_error: {
    status: 500,
    retryable: true,
    scope: 'request',
    actor: 'operator',
    title: 'Internal error in Outtray',
    meaning: 'The service met an error that it does not handle, which is a bug.',
    hint: 'Report this bug with the `request_id`; the log line with that id has the details.',
  },
  queue_full: {
    status: 503,
    retryable: true,
    scope: 'request',
    actor: 'operator',
    title: 'Queue full',
    meaning: 'The queue holds as much waiting mail as its limits allow.',
    hint: 'Nothing was accepted. Repeat the request after Retry-After. If the queue stays full, check why mail is not going out, or raise QUEUE_MAX_MESSAGES and QUEUE_MAX_BYTES.',
  },
  queue_unavailable: {
    status: 503,
    retryable: true,
    scope: 'request',
    actor: 'operator',
    title: 'Queue unavailable',
    meaning: 'The service cannot reach its queue backend.',
    hint: 'Repeat the request after Retry-After, with an Idempotency-Key so that nothing is sent twice. Ask the operator to check the queue backend.',
  },
  shutting_down: {
    status: 503,
    retryable: true,
    scope: 'request',
    actor: 'caller',
    title: 'Service shutting down',
    meaning: 'The service is stopping and accepts no new messages.',
    hint: 'Nothing was accepted. Repeat the request after Retry-After, to another instance or after the restart.',
  },

  // Errors of a message that end its delivery
  recipients_rejected: {
    status: 422,
    retryable: false,
    scope: 'message',
    actor: 'caller',
    title: 'Every recipient was refused',
    meaning: 'The mail server refused every address permanently, so the message was not sent.',
    hint: 'Check the addresses for typing errors. `recipients` has the reply for each of them.',
  },
  mailbox_full: {
    status: 422,
    retryable: false,
    scope: 'message',
    actor: 'caller',
    title: 'Mailbox of the recipient is full',
    meaning: 'The recipient’s mailbox has no room, so the message was not sent.',
    hint: 'Reach the recipient another way, or send again in a few days.',
  },
  content_rejected: {
    status: 422,
    retryable: false,
    scope: 'message',
    actor: 'caller',
    title: 'Gmail refused the content',
    meaning: 'Gmail considers the message spam, or forbids something in it.',
    hint: 'Change what the reply objects to (links, wording, attachments, headers). The same message would be refused again.',
  },
  attachment_blocked: {
    status: 422,
    retryable: false,
    scope: 'message',
    actor: 'caller',
    title: 'Attachment type blocked by Gmail',
    meaning: 'Gmail refuses files of this type because they can carry malware.',
    hint: 'Link to the file instead. Gmail accepts no programs, scripts or installers, not even inside archives.',
  },
  sender_rejected: {
    status: 422,
    retryable: false,
    scope: 'message',
    actor: 'caller',
    title: 'Sender address refused',
    meaning: 'The mail server does not let the account send from this address.',
    hint: 'Send from the account itself or from one of its verified "Send mail as" addresses.',
  },
  policy_rejected: {
    status: 422,
    retryable: false,
    scope: 'message',
    actor: 'operator',
    title: 'Message refused by a policy',
    meaning: 'A rule of a mail domain forbids the message.',
    hint: 'Read the reply: it names the policy, which is a rule of the recipient’s or your own Workspace, or SPF, DKIM and DMARC of the From domain.',
  },
  smtp_rejected: {
    status: 502,
    retryable: false,
    scope: 'message',
    actor: 'caller',
    title: 'Message refused by the mail server',
    meaning: 'The mail server refused the message permanently, for a reason that has no code of its own.',
    hint: 'Read the reply in `smtp`. The same message would be refused again.',
  },
  retries_exhausted: {
    status: 502,
    retryable: true,
    scope: 'message',
    actor: 'operator',
    title: 'Retries exhausted',
    meaning: 'The message kept failing temporarily until RETRY_FOR was over.',
    hint: 'Fix the cause of the last failure, which `detail` names, then send the message again. RETRY_FOR limits how long a message is retried.',
  },
  delivery_uncertain: {
    status: 502,
    retryable: true,
    scope: 'message',
    actor: 'caller',
    title: 'Delivery uncertain',
    meaning: 'The mail server may have accepted the message or not: its reply was lost.',
    hint: 'Look in the Sent folder of the account before sending again. The connection broke after the message was sent and before the server replied.',
  },
  expired: {
    status: 504,
    retryable: false,
    scope: 'message',
    actor: 'caller',
    title: 'Message expired',
    meaning: 'The message was not sent before its `expires_at`.',
    hint: 'Send the message again with a later `expires_at`, or without one. The mail server had not accepted it in time.',
  },

  // Temporary errors of a message, which is retried with back-off
  dns_failed: {
    status: 502,
    retryable: true,
    scope: 'message',
    actor: 'operator',
    title: 'Mail server name not resolved',
    meaning: 'The name of the mail server has no address, or the DNS server does not respond.',
    hint: 'Check DNS on this machine and the host names in SMTP_URL. Outtray retries automatically.',
  },
  connect_failed: {
    status: 502,
    retryable: true,
    scope: 'message',
    actor: 'operator',
    title: 'Mail server unreachable',
    meaning: 'The mail server refused the connection, or no route leads to it.',
    hint: 'Check SMTP_URL and the firewall for outgoing ports 587 and 465. Outtray retries automatically.',
  },
  connect_timeout: {
    status: 502,
    retryable: true,
    scope: 'message',
    actor: 'operator',
    title: 'Mail server did not respond in time',
    meaning: 'The connection to the mail server, or its first reply, took too long.',
    hint: 'Ask your hosting provider to open outgoing port 587 or 465, which most clouds block. `smtp:` on port 465 or `smtps:` on 587 has the same symptom. Outtray retries automatically.',
  },
  connection_lost: {
    status: 502,
    retryable: true,
    scope: 'message',
    actor: 'operator',
    title: 'Connection to the mail server lost',
    meaning: 'The connection to the mail server ended in the middle of an attempt.',
    hint: 'No action is needed unless it persists: the connection broke before the message was complete, so nothing was sent. Outtray retries automatically.',
  },
  smtp_protocol_error: {
    status: 502,
    retryable: true,
    scope: 'message',
    actor: 'operator',
    title: 'Invalid SMTP reply',
    meaning: 'The server replied with something that is not SMTP.',
    hint: 'Check whether a firewall or proxy rewrites SMTP, and whether SMTP_URL names a mail server. Outtray retries automatically.',
  },
  smtp_temporary_failure: {
    status: 502,
    retryable: true,
    scope: 'message',
    actor: 'operator',
    title: 'Temporary failure of the mail server',
    meaning: 'The mail server refused the message temporarily, with a 4xx reply.',
    hint: 'No action is needed unless it persists. Outtray retries automatically, as the reply suggests.',
  },

  // Errors of the account, which pause it and never fail a message
  app_password_required: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'Gmail requires an app password',
    meaning: 'Gmail does not accept the password of a Google account for SMTP.',
    hint: 'Turn on 2-Step Verification, create an app password at https://myaccount.google.com/apppasswords and set its 16 letters as GMAIL_APP_PASSWORD.',
  },
  bad_credentials: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'Gmail refused the login',
    meaning: 'Gmail does not know this combination of user name and password.',
    hint: 'Set GMAIL_APP_PASSWORD to an app password (16 letters, not the password of the account) and GMAIL_USER to the full primary address. Create a new app password if the account’s password has changed, which revokes the old ones.',
  },
  web_login_required: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'Gmail requires a sign-in in a browser',
    meaning: 'Google suspects that the login is not made by the account’s owner.',
    hint: 'Sign in to the account once in a browser, confirm that it was you, then use an app password.',
  },
  login_throttled: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'Too many logins for Gmail',
    meaning: 'The account logged in more often than Gmail allows.',
    hint: 'Lower SMTP_CONNECTIONS, and check that no other program logs in to this account in a loop. Outtray waits at least 15 minutes before the next login.',
  },
  oauth_grant_revoked: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'Google no longer accepts the refresh token',
    meaning: 'The consent behind the refresh token ended or was withdrawn.',
    hint: 'Consent again with outtray login, or set the new GMAIL_OAUTH_REFRESH_TOKEN. A refresh token ends when the account’s password changes, after six months without use, and after seven days while the consent screen is in "Testing": publish it.',
  },
  oauth_client_unauthorized: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'OAuth client not authorized for the account',
    meaning: 'Google knows the OAuth client, but it may not act for this account.',
    hint: 'For a service account, delegate exactly the scope https://mail.google.com/ to its client id in the Workspace admin console; a personal Gmail account cannot be delegated. For a refresh token, set GMAIL_OAUTH_CLIENT_ID and its secret to the client that it was issued to.',
  },
  oauth_clock_skew: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'Clock of this machine is wrong',
    meaning: 'Google refused a signed request because its time is too far from Google’s.',
    hint: 'Set the clock and keep it right with NTP. Google refuses signed requests whose time is minutes off.',
  },
  oauth_unreachable: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'Google’s token endpoint unreachable',
    meaning: 'The service cannot connect to Google to get an access token.',
    hint: 'Allow this machine to connect to oauth2.googleapis.com on port 443. Outtray retries automatically.',
  },
  oauth_failed: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'No usable access token',
    meaning: 'Google refused to issue an access token, or Gmail refused the one it issued.',
    hint: 'Check the id and secret of the OAuth client, the scope https://mail.google.com/, and that GMAIL_USER is the account that consented. `detail` has Google’s response.',
  },
  daily_limit_reached: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'Gmail’s sending limit reached',
    meaning: 'The account has sent as much as Gmail allows in 24 hours.',
    hint: 'Wait: mail goes out as the rolling 24 hours free up. Gmail allows 500 messages a day for a personal account, 2,000 for Workspace, 10,000 through the Workspace relay.',
  },
  throttled: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'Gmail asks this account to slow down',
    meaning: 'The account sends faster than Gmail accepts at the moment.',
    hint: 'No action is needed: mail waits, then goes out. If it happens often, lower SMTP_CONNECTIONS.',
  },
  relay_denied: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'Relay denied',
    meaning:
      'The relay does not accept mail from the IP address of this machine, or from the domain of the sender.',
    hint: 'In the Google Admin console, open Apps > Google Workspace > Gmail > Routing > SMTP relay service. Add the public IP address of this machine to the allowed addresses, and send only from domains of that Workspace. A change can take up to 24 hours.',
  },
  ehlo_refused: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'EHLO name refused',
    meaning: 'The mail server does not accept the host name that this machine sends in EHLO.',
    hint: 'Set SMTP_EHLO_NAME to a fully qualified host name in a domain of yours that resolves in DNS, such as mail.example.com. If the Workspace relay refuses that too, allow the public IP address of this machine in the Google Admin console.',
  },
  tls_failed: {
    status: 502,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'No trusted encrypted connection to the mail server',
    meaning: 'The connection to the mail server cannot be encrypted, or its certificate cannot be trusted.',
    hint: 'Check whether something intercepts TLS: the certificate or the handshake failed, or the server did not offer TLS. Trust a company CA with NODE_EXTRA_CA_CERTS; certificate checks cannot be turned off.',
  },

  // Errors of the account's mailbox, which never pause the account or fail a message
  imap_login_refused: {
    status: 409,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'IMAP login refused',
    meaning: 'The IMAP server refused the login of the account, so its mailbox cannot be read.',
    hint: 'Set GMAIL_APP_PASSWORD to an app password (16 letters) and GMAIL_USER to the full primary address, or consent again with outtray login. The mail server may still accept the login: sending goes on.',
  },
  imap_disabled: {
    status: 409,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'IMAP turned off for the account',
    meaning: 'The administrator of the Workspace, or a setting of the account, does not allow IMAP.',
    hint: 'In the Google Admin console, open Apps > Google Workspace > Gmail > End User Access and allow POP and IMAP access for this user. Without it, set RECONCILE=off and INBOUND=off. Sending goes on.',
  },
  imap_scope_missing: {
    status: 409,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'OAuth token not valid for IMAP',
    meaning: 'The access token does not have the scope https://mail.google.com/, which IMAP requires.',
    hint: 'Consent again with outtray login, which requests the scope https://mail.google.com/. For a service account, delegate exactly this scope in the Workspace admin console.',
  },
  imap_unavailable: {
    status: 503,
    retryable: true,
    scope: 'account',
    actor: 'operator',
    title: 'IMAP server unavailable',
    meaning: 'The IMAP server cannot be reached, or does not work at the moment.',
    hint: 'Allow this machine to connect to the host and port of IMAP_URL. Outtray tries again automatically; sending goes on.',
  },
  no_mailbox: {
    status: 409,
    retryable: false,
    scope: 'account',
    actor: 'operator',
    title: 'Account without a mailbox',
    meaning: 'Outtray cannot read a mailbox of this account: it has no login or no IMAP server.',
    hint: 'Set the login of the account, which the Workspace relay does not need, and IMAP_URL if SMTP_URL names another server than Gmail’s.',
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export const ERROR_CODES = Object.keys(ERRORS) as ErrorCode[];

/** An error in one part of a request. */
export interface FieldError {
  /**
   * A JSON Pointer (RFC 6901) into the body, such as `/to/0`; or `header:Name`, `query:name` or
   * `path:name` for other parts of the request.
   */
  readonly pointer: string;
  /** A short machine-readable reason, such as `required`, `unknown_field`, `invalid_address`. */
  readonly code: string;
  /** What is wrong and how to fix it. */
  readonly detail: string;
}

/** Summarizes field errors in one sentence: the first error, and the number of further ones. */
export function summarize(errors: readonly FieldError[]): string {
  const [first] = errors;
  const others = errors.length > 1 ? ` (and ${errors.length - 1} more, see errors)` : '';
  return first ? `${first.pointer || 'The body'}: ${first.detail}${others}` : 'The request is not valid.';
}

export interface AppErrorOptions {
  readonly detail?: string;
  readonly errors?: readonly FieldError[];
  /** Sent as Retry-After, in seconds. */
  readonly retryAfter?: number;
  readonly cause?: unknown;
}

/**
 * A failure with a row in {@link ERRORS}, thrown by core and http to refuse a request. Its message
 * is shown to the client.
 */
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

/**
 * Describes an unexpected error for the log without its message, which could contain a body, a
 * secret or a certificate. Returns undefined if it is not an Error.
 */
export function describeUnexpectedError(error: unknown): { type: string; stack: string } | undefined {
  if (!(error instanceof Error)) return undefined;
  // The first line of a stack repeats the message.
  const stack = error.stack?.split('\n').filter((line) => line.startsWith('    at '));
  return { type: error.name, stack: stack?.join('\n') ?? '' };
}

/** Maximum length of a list in a header or a sentence, in characters. */
export const MAX_LIST_LENGTH = 900;

/** Joins items up to `maxLength` characters, then appends ", and N more". */
export function joinWithin(items: readonly string[], maxLength: number): string {
  const all = items.join(', ');
  if (all.length <= maxLength) return all;
  const room = maxLength - `, and ${items.length} more`.length;
  let length = 0;
  const shown = items.filter((item, i) => {
    length += item.length + (i === 0 ? 0 : ', '.length);
    return length <= room;
  });
  return `${shown.join(', ')}, and ${items.length - shown.length} more`;
}
