import { ERRORS } from '../core/errors.ts';

export interface TroubleshootingRow {
  readonly id: string;
  readonly symptom: string;
  /** Where it shows: a reply or an error code, as Markdown. */
  readonly seenAs: string;
  /** What to do. */
  readonly fix: string;
}

/**
 * Problems and their fixes, for the doctor's advice and the README's troubleshooting table. A
 * problem that the service also reports has the hint of its error code as its fix. An id that is a
 * code of ERRORS is that code.
 */
export const TROUBLESHOOTING = [
  {
    id: 'no_credentials',
    symptom: 'There are no credentials',
    seenAs: 'the AUTH line, before any login',
    fix: 'Set GMAIL_USER and GMAIL_APP_PASSWORD, or the OAuth variables. A misspelled variable has its own warning.',
  },
  {
    id: 'bad_credentials',
    symptom: 'Gmail refuses the login',
    seenAs: '`535 5.7.8`',
    fix: ERRORS.bad_credentials.hint,
  },
  {
    id: 'app_password_required',
    symptom: 'Gmail requires an app password',
    seenAs: '`534 5.7.9`',
    fix: ERRORS.app_password_required.hint,
  },
  {
    id: 'web_login_required',
    symptom: 'Gmail requires a sign-in in a browser',
    seenAs: '`534 5.7.14`',
    fix: ERRORS.web_login_required.hint,
  },
  {
    id: 'login_throttled',
    symptom: 'Gmail reports too many logins',
    seenAs: '`454 4.7.0`',
    fix: ERRORS.login_throttled.hint,
  },
  {
    id: 'ports_blocked',
    symptom: 'The mail ports time out, and port 443 works',
    seenAs: '`CONNECT_TIMEOUT` on 587 and 465',
    fix: 'The hosting provider blocks outgoing mail ports, as most clouds do. Ask it to open 587 or 465, or set SMTP_URL to a relay inside its network.',
  },
  {
    id: 'no_network',
    symptom: 'The mail ports time out, and so does port 443',
    seenAs: '`CONNECT_TIMEOUT` on every port',
    fix: 'This machine has no outgoing connections: check its network, routes and firewall. SMTP does not use an HTTP proxy.',
  },
  {
    id: 'connection_refused',
    symptom: 'The connection is refused',
    seenAs: '`ECONNREFUSED`',
    fix: 'SMTP_URL has the wrong host or port, or a firewall refuses the connection. Gmail is smtp://smtp.gmail.com:587 or smtps://smtp.gmail.com:465.',
  },
  {
    id: 'unreachable',
    symptom: 'There is no route to the server',
    seenAs: '`ENETUNREACH`, `EHOSTUNREACH`',
    fix: 'This machine has no route to the address: check its network, and the network of its container.',
  },
  {
    id: 'ipv6_unreachable',
    symptom: 'IPv6 does not reach the server, IPv4 does',
    seenAs: '`ENETUNREACH` on the IPv6 line',
    fix: 'Mail is sent over IPv4. Add an IPv6 route, or disable IPv6, to avoid a delay at each new connection.',
  },
  {
    id: 'ipv4_unreachable',
    symptom: 'IPv4 does not reach the server, IPv6 does',
    seenAs: 'a failure on the IPv4 line',
    fix: 'Mail is sent over IPv6. Check the IPv4 route and firewall to avoid a delay at each new connection.',
  },
  {
    id: 'dns_failed',
    symptom: 'The server name cannot be resolved',
    seenAs: '`ENOTFOUND`, `EAI_AGAIN`',
    fix: 'Check the host name in SMTP_URL and the DNS of this machine (in a container, the DNS of its network).',
  },
  {
    id: 'tls_on_starttls_port',
    symptom: 'The server does not respond in TLS',
    seenAs: '`ERR_SSL_WRONG_VERSION_NUMBER`',
    fix: 'Use smtp:// in SMTP_URL for port 587, where the connection starts unencrypted and then switches to TLS. smtps:// is for port 465.',
  },
  {
    id: 'no_greeting',
    symptom: 'The server accepts the connection but sends no greeting',
    seenAs: '`GREETING_TIMEOUT`',
    fix: 'Use smtps:// in SMTP_URL for port 465, where the greeting comes only after TLS. On port 587, a firewall or proxy delays SMTP.',
  },
  {
    id: 'connect_timeout',
    symptom: 'The server accepts the connection but TLS does not start',
    seenAs: '`CONNECT_TIMEOUT` on the TLS line',
    fix: 'A firewall or proxy blocks the handshake, or SMTP_URL names another service. Compare with another network, and try the other port (587 or 465).',
  },
  {
    id: 'tls_intercepted',
    symptom: 'The certificate was issued by an unknown authority',
    seenAs: '`SELF_SIGNED_CERT_IN_CHAIN`, `UNABLE_TO_GET_ISSUER_CERT_LOCALLY`',
    fix: 'A company proxy or antivirus intercepts TLS, or SMTP_URL names another server. If you trust the issuer, save its CA certificate in a file and set NODE_EXTRA_CA_CERTS to its path. Never disable certificate checks.',
  },
  {
    id: 'certificate_expired',
    symptom: 'The certificate has expired',
    seenAs: '`CERT_HAS_EXPIRED`',
    fix: 'If the clock of this machine is correct, the server must renew its certificate. If not, set the clock and synchronize it with NTP.',
  },
  {
    id: 'clock_wrong',
    symptom: 'The certificate is not valid yet',
    seenAs: '`CERT_NOT_YET_VALID`',
    fix: 'The clock of this machine is slow: set it, and synchronize it with NTP.',
  },
  {
    id: 'certificate_ends_soon',
    symptom: 'The certificate expires within 14 days',
    seenAs: 'a warning on the TLS line',
    fix: 'The operator of the server must renew it before that day, or mail can no longer be sent.',
  },
  {
    id: 'wrong_name',
    symptom: 'The certificate is for another name',
    seenAs: '`ERR_TLS_CERT_ALTNAME_INVALID`',
    fix: 'SMTP_URL must contain the name in the certificate: smtp.gmail.com, not an IP address or an alias for it. If it does, a proxy intercepts TLS.',
  },
  {
    id: 'tls_failed',
    symptom: 'TLS cannot be set up',
    seenAs: 'another error on the TLS line',
    fix: ERRORS.tls_failed.hint,
  },
  {
    id: 'starttls_missing',
    symptom: 'The server does not offer STARTTLS',
    seenAs: 'EHLO without `STARTTLS`',
    fix: 'Gmail always offers it: a proxy removes it, or SMTP_URL names another server. Try smtps:// on port 465. Outtray never logs in without encryption.',
  },
  {
    id: 'auth_missing',
    symptom: 'The server does not offer the login mechanism',
    seenAs: 'EHLO without `AUTH PLAIN` or `AUTH XOAUTH2`',
    fix: 'SMTP_URL names a server that does not support this login mechanism. Gmail is smtp://smtp.gmail.com:587. For the Workspace relay by IP address, add ?login=none. For a relay without login in your own network, add ?tls=never.',
  },
  {
    id: 'size_smaller',
    symptom: 'The server accepts only smaller messages than Outtray',
    seenAs: '`SIZE` below `MAX_MESSAGE_BYTES`',
    fix: 'Set MAX_MESSAGE_BYTES to the limit of the server, so that a larger message is rejected at once, with a reason.',
  },
  {
    id: 'connection_lost',
    symptom: 'The connection is lost before the session is ready',
    seenAs: '`ECONNRESET`, or the server closes the connection',
    fix: 'A firewall or proxy may cut SMTP connections, or the server rejects this machine. Compare with another network, and try the other port (587 or 465).',
  },
  {
    id: 'smtp_protocol_error',
    symptom: 'The server sends something that is not SMTP',
    seenAs: 'an unexpected first line',
    fix: 'SMTP_URL names another service, or a firewall or proxy rewrites SMTP. Check the host and port.',
  },
  {
    id: 'relay_denied',
    symptom: 'The relay does not accept mail from this machine or this sender',
    seenAs:
      '`550 5.7.1 Invalid credentials for relay`, `550 5.7.0 Mail relay denied`, `554 5.7.1 Relay access denied`',
    fix: ERRORS.relay_denied.hint,
  },
  {
    id: 'ehlo_refused',
    symptom: 'The server refuses the name in EHLO',
    seenAs: '`421 4.7.0 … (EHLO)`, `504 5.5.2 Helo command rejected`',
    fix: ERRORS.ehlo_refused.hint,
  },
  { id: 'throttled', symptom: 'Gmail asks to slow down', seenAs: '`421 4.7.0`', fix: ERRORS.throttled.hint },
  {
    id: 'smtp_temporary_failure',
    symptom: 'The server refuses temporarily',
    seenAs: 'another `421` or `4yz`',
    fix: 'Wait a few minutes, then run the doctor again. The service retries automatically.',
  },
  {
    id: 'oauth_grant_revoked',
    symptom: 'The refresh token has expired or was revoked',
    seenAs: '`invalid_grant`',
    fix: ERRORS.oauth_grant_revoked.hint,
  },
  {
    id: 'oauth_client_unauthorized',
    symptom: 'The OAuth client may not act for the account',
    seenAs: '`unauthorized_client`',
    fix: ERRORS.oauth_client_unauthorized.hint,
  },
  {
    id: 'oauth_clock_skew',
    symptom: 'Google rejects the time of the token request',
    seenAs: '`invalid_grant` with a text about iat and exp',
    fix: ERRORS.oauth_clock_skew.hint,
  },
  {
    id: 'oauth_unreachable',
    symptom: 'The token endpoint does not respond',
    seenAs: 'the OAuth token line',
    fix: ERRORS.oauth_unreachable.hint,
  },
  {
    id: 'oauth_failed',
    symptom: 'Any other problem with OAuth',
    seenAs: 'the OAuth token line, or `535`',
    fix: ERRORS.oauth_failed.hint,
  },
  {
    id: 'imap_login_refused',
    symptom: 'The login works by SMTP, and is refused by IMAP',
    seenAs: 'a warning on the IMAP line; `AUTHENTICATIONFAILED`',
    fix: ERRORS.imap_login_refused.hint,
  },
  {
    id: 'imap_disabled',
    symptom: 'IMAP is turned off for the account, or shows no Sent Mail',
    seenAs: '`IMAP access is disabled for your domain`',
    fix: ERRORS.imap_disabled.hint,
  },
  {
    id: 'imap_scope_missing',
    symptom: 'The access token is not valid for IMAP',
    seenAs: 'a warning on the IMAP line',
    fix: ERRORS.imap_scope_missing.hint,
  },
  {
    id: 'imap_unavailable',
    symptom: 'The IMAP server cannot be reached',
    seenAs: 'a warning on the IMAP line; `ECONNREFUSED`, `Too many simultaneous connections`',
    fix: ERRORS.imap_unavailable.hint,
  },
  {
    id: 'consent_denied',
    symptom: 'Google reports that access was denied',
    seenAs: '`access_denied`',
    fix: 'Run outtray login again, and press Continue on Google’s page. If Google’s page itself blocks the account, the consent screen is in Testing: add the account under Audience, Test users, or publish the app.',
  },
  {
    id: 'consent_scope_missing',
    symptom: 'The account did not grant access to its mail',
    seenAs: 'outtray login',
    fix: 'Run outtray login again, and select the checkbox for Gmail on Google’s page. If the page has no such checkbox, add the scope https://mail.google.com/ under Data access.',
  },
  {
    id: 'consent_other_account',
    symptom: 'Another account consented than the one to log in with',
    seenAs: 'outtray login',
    fix: 'Run outtray login again, and choose the account on Google’s page. In a Workspace, use its primary address, not an alias.',
  },
  {
    id: 'consent_no_refresh_token',
    symptom: 'Google issues no refresh token',
    seenAs: 'outtray login',
    fix: 'Remove the app at https://myaccount.google.com/connections, then run outtray login again.',
  },
  {
    id: 'consent_testing',
    symptom: 'The login ends after seven days',
    seenAs: 'a warning on the OAuth token line',
    fix: 'The consent screen is in Testing, or the account granted access for a limited time. Publish the app at https://console.cloud.google.com/auth/audience, or make it internal to the Workspace, then run outtray login again.',
  },
  {
    id: 'consent_web_client',
    symptom: 'The OAuth client is not of type Desktop app',
    seenAs: '`redirect_uri_mismatch`, `invalid_request`',
    fix: 'Create an OAuth client of type Desktop app at https://console.cloud.google.com/auth/clients, and use its file. Clients of other types, such as Web application, cannot redirect to this machine.',
  },
  {
    id: 'consent_invalid_client',
    symptom: 'Google does not accept the OAuth client',
    seenAs: '`invalid_client`, `deleted_client`',
    fix: 'Check the id and the secret of the client at https://console.cloud.google.com/auth/clients, or download its file again.',
  },
  {
    id: 'consent_admin_policy',
    symptom: 'The administrator of the Workspace blocks the app',
    seenAs: '`admin_policy_enforced`',
    fix: 'An administrator must trust the client id at https://admin.google.com/ac/owl/list?tab=configuredApps. A service account with domain-wide delegation needs no consent: use outtray login --service-account.',
  },
  {
    id: 'consent_internal_app',
    symptom: 'The app is internal to another Workspace',
    seenAs: '`org_internal`',
    fix: 'Consent with an account of the Workspace that owns the Google Cloud project, or make the app external at https://console.cloud.google.com/auth/audience.',
  },
  {
    id: 'consent_code_refused',
    symptom: 'Google refuses the authorization code',
    seenAs: '`invalid_grant` during outtray login',
    fix: 'A code works once, for ten minutes. Run outtray login again, and check the clock of this machine.',
  },
  {
    id: 'consent_state_mismatch',
    symptom: 'The pasted address belongs to another login',
    seenAs: 'outtray login',
    fix: 'Open the address that the last outtray login shows, and paste the response to it.',
  },
  {
    id: 'consent_not_received',
    symptom: 'outtray login receives no response from the browser',
    seenAs: 'a time-out of outtray login',
    fix: 'The browser must run on the same machine and outside of a container: otherwise use --paste. If Google shows an error, look for its name in this table.',
  },
  {
    id: 'consent_port_unusable',
    symptom: 'The port for the response cannot be used',
    seenAs: '`EADDRINUSE`, `EACCES`',
    fix: 'Omit --port to use a free one, or choose a port above 1023 that no other program uses.',
  },
  {
    id: 'from_replaced',
    symptom: 'Mail arrives with a different From address',
    seenAs: 'only in the delivered mail',
    fix: 'Gmail replaces From silently: add the address under "Send mail as" in Gmail\'s settings, then list it in GMAIL_ALIASES.',
  },
  {
    id: 'any_from_allowed',
    symptom: 'Clients may send from any address',
    seenAs: '`FROM_POLICY=allow`',
    fix: 'Gmail silently replaces a From that is not a verified "Send mail as" address. FROM_POLICY=reject rejects the request instead, and rewrite moves the address to Reply-To.',
  },
  {
    id: 'spf_missing',
    symptom: 'The From domain has no SPF record',
    seenAs: 'the SPF line',
    fix: 'Add a TXT record to the domain itself: v=spf1 include:_spf.google.com ~all. Name the other servers that send for the domain in the same record.',
  },
  {
    id: 'spf_google_missing',
    symptom: "The SPF record does not allow Google's servers",
    seenAs: 'the SPF line',
    fix: 'Add include:_spf.google.com to the SPF record of the domain, before "all". A record that lists the networks of Google itself breaks when they change.',
  },
  {
    id: 'spf_invalid',
    symptom: 'The SPF record is not valid, so receivers ignore it',
    seenAs: 'the SPF line; `permerror` in the headers of delivered mail',
    fix: 'Correct the record that the line names. A domain has one TXT record that begins with v=spf1, and each included domain has one, too.',
  },
  {
    id: 'spf_too_many_lookups',
    symptom: 'The SPF record needs too many DNS look-ups',
    seenAs: 'the SPF line; `permerror` in the headers of delivered mail',
    fix: 'Remove include, a, mx, ptr and exists terms of servers that no longer send for the domain. At most ten are evaluated, including those of included records, and two without a result.',
  },
  {
    id: 'dkim_missing',
    symptom: 'The From domain has no DKIM key of Google',
    seenAs: 'the DKIM line; `gappssmtp.com` as the signer of delivered mail',
    fix: 'In the Google Admin console (Apps, Google Workspace, Gmail, Authenticate email), generate a key, add it as a TXT record at google._domainkey, then start authentication. If Workspace uses another prefix than "google", this line does not apply.',
  },
  {
    id: 'dkim_not_started',
    symptom: 'Gmail signs mail of the domain as gappssmtp.com',
    seenAs: 'the Signature line of `outtray doctor --send-to` yourself',
    fix: 'In the Google Admin console (Apps, Google Workspace, Gmail, Authenticate email), select the domain and press Start authentication, once its key is in DNS. It can take 48 hours to work.',
  },
  {
    id: 'dkim_revoked',
    symptom: 'The DKIM key of the From domain is revoked',
    seenAs: 'an empty `p=` at `google._domainkey`',
    fix: 'Generate a new key in the Google Admin console, and replace the TXT record at google._domainkey with it.',
  },
  {
    id: 'dkim_invalid',
    symptom: 'The DKIM record of the From domain cannot be used',
    seenAs: 'the DKIM line',
    fix: 'Copy the value again from the Google Admin console. A key of 2048 bits is longer than 255 characters: enter it as one value, or as several quoted strings of one record.',
  },
  {
    id: 'dmarc_missing',
    symptom: 'The From domain has no DMARC record',
    seenAs: 'the DMARC line',
    fix: 'Add a TXT record at _dmarc: v=DMARC1; p=none; rua=mailto:you@yourdomain. Google requires one of domains that send 5,000 messages a day to Gmail.',
  },
  {
    id: 'dmarc_invalid',
    symptom: 'The DMARC record cannot be used',
    seenAs: 'the DMARC line',
    fix: 'Publish exactly one TXT record at _dmarc that begins with v=DMARC1, with p=none, p=quarantine or p=reject.',
  },
  {
    id: 'dmarc_unaligned',
    symptom: 'Mail from the domain cannot pass DMARC',
    seenAs: 'the Alignment line; `dmarc=fail` in the headers of delivered mail',
    fix: 'Set up DKIM for the domain in the Google Admin console: then Gmail signs with the From domain. SPF aligns only if the account has an address of the same organization.',
  },
  {
    id: 'alias_unaligned',
    symptom: 'A personal Gmail account sends from another domain',
    seenAs: 'the Alignment line; `dmarc=fail` in the headers of delivered mail',
    fix: 'Send from a Workspace account of the domain. Only if "Send mail as" is set up with another SMTP server for the address, that server signs the mail instead.',
  },
  {
    id: 'gmail_bulk_near',
    symptom: 'A domain sends almost as much mail to Gmail as bulk senders',
    seenAs: 'the "Mail to Gmail" line of GET /doctor',
    fix: 'From 5,000 messages a day on, Google requires SPF, DKIM, an aligned DMARC record, one-click unsubscribe for marketing mail, and few spam reports. Fix the warnings above first.',
  },
  {
    id: 'dns_unknown',
    symptom: 'A DNS record could not be read, or seems to be from an internal DNS server',
    seenAs: '"unknown" on the SPF, DKIM, DMARC or Alignment line',
    fix: 'Nothing is known to be wrong. Look the record up from another network, or with a public DNS server: dig TXT yourdomain @8.8.8.8.',
  },
  {
    id: 'sqlite_unusable',
    symptom: 'The queue file cannot be used, so the service does not start',
    seenAs: 'the Queue line',
    fix: 'Set QUEUE_URL to a file that this user may write, in a directory that exists.',
  },
  {
    id: 'redis_unusable',
    symptom: 'Redis cannot be used, so the service does not start',
    seenAs: 'the Queue line',
    fix: 'Check the host, port and password in QUEUE_URL, and that Redis is running.',
  },
  {
    id: 'redis_unsafe',
    symptom: 'Redis may lose messages',
    seenAs: 'a warning on the Queue line',
    fix: 'Set appendonly yes, appendfsync always and maxmemory-policy noeviction in the configuration of Redis, or accept that messages may be lost.',
  },
  {
    id: 'templates_unusable',
    symptom: 'A template cannot be used, so the service does not start',
    seenAs: 'the Templates line',
    fix: 'Fix the file named on that line, or the path in TEMPLATES_DIR.',
  },
  {
    id: 'webhook_unreachable',
    symptom: 'A webhook endpoint cannot be reached; mail is still sent',
    seenAs: 'the Webhook or Alerts line',
    fix: 'Check the URL, and that this machine may connect to its host. A host with a private address, or without https, must be listed in WEBHOOK_ALLOWED_HOSTS.',
  },
] as const satisfies readonly TroubleshootingRow[];

export type TroubleshootingId = (typeof TROUBLESHOOTING)[number]['id'];

const FIXES: ReadonlyMap<string, string> = new Map(TROUBLESHOOTING.map(({ id, fix }) => [id, fix]));

/** Returns the fix; undefined for an id without a row. */
export function fixOf(id: string): string | undefined {
  return FIXES.get(id);
}
