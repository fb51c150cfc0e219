import { ERRORS } from '../core/errors.ts';

export interface TroubleshootingRow {
  readonly id: string;
  readonly symptom: string;
  /** How it shows: a reply, or an error code, as Markdown. */
  readonly seenAs: string;
  readonly mend: string;
}

/**
 * What the doctor knows, once: the mend on its lines, and the README's section on troubleshooting. Where the service meets the same thing, the
 * words are the hint it gives then; an id that is a code of ERRORS stands for that code.
 */
export const TROUBLESHOOTING = [
  {
    id: 'no_credentials',
    symptom: 'There are no credentials',
    seenAs: 'the AUTH line, before any login',
    mend: 'The variable is unset or misspelt: set GMAIL_USER and GMAIL_APP_PASSWORD, or the settings of OAuth. A name with a typing error has a warning of its own.',
  },
  {
    id: 'bad_credentials',
    symptom: 'Gmail refuses the login',
    seenAs: '`535 5.7.8`',
    mend: ERRORS.bad_credentials.hint,
  },
  {
    id: 'app_password_required',
    symptom: 'Gmail wants an app password',
    seenAs: '`534 5.7.9`',
    mend: ERRORS.app_password_required.hint,
  },
  {
    id: 'web_login_required',
    symptom: 'Gmail wants a sign-in in a browser',
    seenAs: '`534 5.7.14`',
    mend: ERRORS.web_login_required.hint,
  },
  {
    id: 'login_throttled',
    symptom: 'Gmail counts too many logins',
    seenAs: '`454 4.7.0`',
    mend: ERRORS.login_throttled.hint,
  },
  {
    id: 'ports_blocked',
    symptom: 'The mail ports time out, and port 443 works',
    seenAs: '`CONNECT_TIMEOUT` on 587 and 465',
    mend: 'The host blocks outgoing mail ports (most clouds do): ask it to open 587 or 465, or name a relay inside its network in SMTP_URL.',
  },
  {
    id: 'no_network',
    symptom: 'The mail ports time out, and so does port 443',
    seenAs: '`CONNECT_TIMEOUT` on every port',
    mend: 'Nothing gets out of this machine: check its network, its routes and its firewall. SMTP does not go through an HTTP proxy.',
  },
  {
    id: 'connection_refused',
    symptom: 'The connection is refused',
    seenAs: '`ECONNREFUSED`',
    mend: 'Wrong host or port in SMTP_URL, or a firewall that refuses: Gmail is smtp://smtp.gmail.com:587 or smtps://smtp.gmail.com:465.',
  },
  {
    id: 'unreachable',
    symptom: 'There is no way to the server',
    seenAs: '`ENETUNREACH`, `EHOSTUNREACH`',
    mend: 'This machine has no route to the address: check its network, and that of the container it runs in.',
  },
  {
    id: 'ipv6_unreachable',
    symptom: 'IPv6 does not reach the server, IPv4 does',
    seenAs: '`ENETUNREACH` on the line of IPv6',
    mend: 'IPv4 still works, so mail is sent. Give this machine a route for IPv6, or turn IPv6 off, to save the detour at each new connection.',
  },
  {
    id: 'ipv4_unreachable',
    symptom: 'IPv4 does not reach the server, IPv6 does',
    seenAs: 'a failure on the line of IPv4',
    mend: 'IPv6 still works, so mail is sent. Check the route and the firewall for IPv4 to save the detour at each new connection.',
  },
  {
    id: 'dns_failed',
    symptom: 'The name of the server is not found',
    seenAs: '`ENOTFOUND`, `EAI_AGAIN`',
    mend: 'Check the host name in SMTP_URL, and DNS on this machine (in a container: the DNS of its network).',
  },
  {
    id: 'tls_on_starttls_port',
    symptom: 'The server does not answer in TLS',
    seenAs: '`ERR_SSL_WRONG_VERSION_NUMBER`',
    mend: '"smtps:" is for port 465; on port 587 the server begins in the clear. Write smtp:// in SMTP_URL for port 587: it is encrypted all the same.',
  },
  {
    id: 'no_greeting',
    symptom: 'The server connects and says nothing',
    seenAs: '`GREETING_TIMEOUT`',
    mend: '"smtp:" on port 465 waits for a greeting that comes only after TLS. Write smtps:// in SMTP_URL for port 465. On port 587, something in between holds SMTP up.',
  },
  {
    id: 'connect_timeout',
    symptom: 'The server connects, and TLS never begins',
    seenAs: '`CONNECT_TIMEOUT` on the TLS line',
    mend: 'A firewall or a proxy in between holds the handshake up, or SMTP_URL names another service. Compare with another network, and try the other port (587, 465).',
  },
  {
    id: 'tls_intercepted',
    symptom: 'The certificate comes from an authority that this machine does not know',
    seenAs: '`SELF_SIGNED_CERT_IN_CHAIN`, `UNABLE_TO_GET_ISSUER_CERT_LOCALLY`',
    mend: 'Something intercepts TLS: a company proxy, an antivirus, or SMTP_URL names another server. If you trust the issuer, put its CA certificate into a file and name that in NODE_EXTRA_CA_CERTS; never check less.',
  },
  {
    id: 'certificate_expired',
    symptom: 'The certificate has expired',
    seenAs: '`CERT_HAS_EXPIRED`',
    mend: 'If the date of this machine is right, the server must renew its certificate; if not, set the clock and keep it right with NTP.',
  },
  {
    id: 'clock_wrong',
    symptom: 'The certificate is not valid yet',
    seenAs: '`CERT_NOT_YET_VALID`',
    mend: 'The clock of this machine is behind: set it, and keep it right with NTP.',
  },
  {
    id: 'certificate_ends_soon',
    symptom: 'The certificate ends within 14 days',
    seenAs: 'a warning on the TLS line',
    mend: 'Whoever runs the server must renew it before that day, else no mail can be sent from then on.',
  },
  {
    id: 'wrong_name',
    symptom: 'The certificate is for another name',
    seenAs: '`ERR_TLS_CERT_ALTNAME_INVALID`',
    mend: 'SMTP_URL must say the name that is in the certificate: smtp.gmail.com, not an address or a name of your own that points to it. If it does, something intercepts TLS.',
  },
  {
    id: 'tls_failed',
    symptom: 'TLS cannot be set up',
    seenAs: 'another error on the TLS line',
    mend: ERRORS.tls_failed.hint,
  },
  {
    id: 'starttls_missing',
    symptom: 'The server does not offer STARTTLS',
    seenAs: 'EHLO without `STARTTLS`',
    mend: 'Gmail always offers it, so something in between strips it, or SMTP_URL names another server. Try smtps:// on port 465; Outtray never logs in without encryption.',
  },
  {
    id: 'auth_missing',
    symptom: 'The server does not offer the login',
    seenAs: 'EHLO without `AUTH PLAIN` or `AUTH XOAUTH2`',
    mend: 'SMTP_URL names a server that does not take logins this way: Gmail is smtp://smtp.gmail.com:587. For a relay without login in your own network, write ?tls=never.',
  },
  {
    id: 'size_smaller',
    symptom: 'The server takes smaller messages than Outtray',
    seenAs: '`SIZE` below `MAX_MESSAGE_BYTES`',
    mend: 'Set MAX_MESSAGE_BYTES to what the server takes, so that a larger message is refused at once, with a reason.',
  },
  {
    id: 'connection_lost',
    symptom: 'The connection breaks before the session is ready',
    seenAs: '`ECONNRESET`, or the server hangs up',
    mend: 'A firewall or a proxy in between may cut SMTP, or the server does not want this machine. Compare with another network, and try the other port (587, 465).',
  },
  {
    id: 'smtp_protocol_error',
    symptom: 'The server says something that is not SMTP',
    seenAs: 'a strange first line',
    mend: 'SMTP_URL names another service, or something in between rewrites SMTP (a firewall, a proxy). Check host and port.',
  },
  { id: 'throttled', symptom: 'Gmail asks to slow down', seenAs: '`421 4.7.0`', mend: ERRORS.throttled.hint },
  {
    id: 'smtp_temporary_failure',
    symptom: 'The server refuses for now',
    seenAs: 'another `421` or `4yz`',
    mend: 'Wait a few minutes, then run the doctor again. The service retries by itself.',
  },
  {
    id: 'oauth_grant_revoked',
    symptom: 'The refresh token is dead',
    seenAs: '`invalid_grant`',
    mend: ERRORS.oauth_grant_revoked.hint,
  },
  {
    id: 'oauth_client_unauthorized',
    symptom: 'The OAuth client may not act for the account',
    seenAs: '`unauthorized_client`',
    mend: ERRORS.oauth_client_unauthorized.hint,
  },
  {
    id: 'oauth_clock_skew',
    symptom: 'Google finds the request dated wrong',
    seenAs: '`invalid_grant`, with words about iat and exp',
    mend: ERRORS.oauth_clock_skew.hint,
  },
  {
    id: 'oauth_unreachable',
    symptom: 'The token endpoint does not answer',
    seenAs: 'the line of the OAuth token',
    mend: ERRORS.oauth_unreachable.hint,
  },
  {
    id: 'oauth_failed',
    symptom: 'Any other trouble with OAuth',
    seenAs: 'the line of the OAuth token, or `535`',
    mend: ERRORS.oauth_failed.hint,
  },
  {
    id: 'from_replaced',
    symptom: 'Mail arrives from another address than it was sent from',
    seenAs: 'only in the delivered mail',
    mend: 'Gmail replaces it silently: add the address under "Send mail as" in Gmail\'s settings, then name it in GMAIL_ALIASES.',
  },
  {
    id: 'any_from_allowed',
    symptom: 'Callers may send from any address',
    seenAs: '`FROM_POLICY=allow`',
    mend: 'Gmail silently replaces each From that is not a verified "Send mail as" address. FROM_POLICY=reject says so to the caller, rewrite moves the address to Reply-To.',
  },
  {
    id: 'sqlite_unusable',
    symptom: 'The queue file cannot be used, so the service does not start',
    seenAs: 'the Queue line',
    mend: 'Name a file in QUEUE_URL whose folder exists, and to which this user may write.',
  },
  {
    id: 'redis_unusable',
    symptom: 'Redis cannot be used, so the service does not start',
    seenAs: 'the Queue line',
    mend: 'Check host, port and password in QUEUE_URL, and that Redis is running.',
  },
  {
    id: 'redis_unsafe',
    symptom: 'Redis may lose messages',
    seenAs: 'a warning on the Queue line',
    mend: 'Set appendonly yes, appendfsync always and maxmemory-policy noeviction in the configuration of Redis, or accept what may be lost.',
  },
  {
    id: 'templates_unusable',
    symptom: 'A template cannot be used, so the service does not start',
    seenAs: 'the Templates line',
    mend: 'Fix the file that the line names, or the path in TEMPLATES_DIR.',
  },
  {
    id: 'webhook_unreachable',
    symptom: 'An endpoint of webhooks cannot be reached; mail is sent all the same',
    seenAs: 'the Webhook line',
    mend: 'Check the URL, and that this machine may connect to its host. List a host with a private address, or without https, in WEBHOOK_ALLOWED_HOSTS.',
  },
] as const satisfies readonly TroubleshootingRow[];

export type TroubleshootingId = (typeof TROUBLESHOOTING)[number]['id'];

const MENDS: ReadonlyMap<string, string> = new Map(TROUBLESHOOTING.map(({ id, mend }) => [id, mend]));

/** What to do about it; undefined for an id that has no row. */
export function fixOf(id: string): string | undefined {
  return MENDS.get(id);
}
