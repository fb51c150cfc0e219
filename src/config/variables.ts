export interface Variable {
  readonly name: string;
  /** The default as text; empty if there is none. */
  readonly default: string;
  /** Can also be set as a file, by `<name>_FILE`. Its value is never repeated in output. */
  readonly secret: boolean;
  readonly required: boolean;
  readonly meaning: string;
}

/**
 * Every variable. The schema, `.env.example` and the README's table are generated from this list or
 * checked against it.
 */
export const VARIABLES = [
  {
    name: 'HOST',
    default: '127.0.0.1',
    secret: false,
    required: false,
    meaning: 'address to listen on: an IP address or a host name',
  },
  {
    name: 'PORT',
    default: '3000',
    secret: false,
    required: false,
    meaning: 'port to listen on; 0 picks a free port',
  },
  {
    name: 'API_KEYS',
    default: '',
    secret: true,
    required: true,
    meaning:
      '`name:secret` pairs, comma separated. A secret has at least 24 characters or is `sha256:<hex>`; `:admin` after it gives access to the messages of all keys. Or a JSON list of objects with `name`, `secret` (or `secret_file`), `scopes`, `allowed_from`, `allowed_recipients`, `rate_limit`, `daily_limit`, `test`, `webhook_url`, `webhook_secret`. Keys in files are reloaded on SIGHUP',
  },
  {
    name: 'GMAIL_USER',
    default: '',
    secret: false,
    required: true,
    meaning: 'full address of the account, also for Workspace domains; not with `GMAIL_ACCOUNTS`',
  },
  {
    name: 'GMAIL_APP_PASSWORD',
    default: '',
    secret: true,
    required: true,
    meaning:
      'app password of 16 letters; spaces are removed; not with OAuth2, a service account or `GMAIL_ACCOUNTS`, and not needed if every server of `SMTP_URL` has `?tls=never`; not with `?login=none`',
  },
  {
    name: 'GMAIL_OAUTH_CLIENT_ID',
    default: '',
    secret: false,
    required: false,
    meaning:
      'OAuth2 instead of an app password: id of the client created in the Google Cloud console; requires the next two variables',
  },
  {
    name: 'GMAIL_OAUTH_CLIENT_SECRET',
    default: '',
    secret: true,
    required: false,
    meaning: 'secret of that client',
  },
  {
    name: 'GMAIL_OAUTH_REFRESH_TOKEN',
    default: '',
    secret: true,
    required: false,
    meaning:
      'refresh token that the account granted to that client, for the scope `https://mail.google.com/`',
  },
  {
    name: 'GMAIL_OAUTH',
    default: '',
    secret: true,
    required: false,
    meaning:
      'instead of the last three: what `outtray login` writes; best set as that file, by `GMAIL_OAUTH_FILE`, which is read again after a refused login',
  },
  {
    name: 'GMAIL_SERVICE_ACCOUNT',
    default: '',
    secret: true,
    required: false,
    meaning:
      'instead of both: JSON key of a Workspace service account with domain-wide delegation of that scope; best set as a file, by `GMAIL_SERVICE_ACCOUNT_FILE`',
  },
  {
    name: 'GMAIL_OAUTH_TOKEN_URL',
    default: 'https://oauth2.googleapis.com/token',
    secret: false,
    required: false,
    meaning: 'token endpoint of OAuth2: `https:`, or `http:` to this machine for tests',
  },
  {
    name: 'GMAIL_ACCOUNTS',
    default: '',
    secret: true,
    required: false,
    meaning:
      'several accounts, instead of `GMAIL_USER` and the logins above: a JSON list of objects with `user`, `app_password`, `oauth_client_id`, `oauth_client_secret`, `oauth_refresh_token`, `oauth_file`, `service_account`, `from`, `aliases` and `domains` (lists), `daily_messages`, `daily_recipients`, `reserve`; a secret can also be a path, as in `app_password_file`',
  },
  {
    name: 'GMAIL_FROM',
    default: 'GMAIL_USER',
    secret: false,
    required: false,
    meaning: 'default `From`, such as `Acme <no-reply@acme.com>`',
  },
  {
    name: 'GMAIL_ALIASES',
    default: '',
    secret: false,
    required: false,
    meaning: 'verified "Send mail as" addresses of the account, comma separated',
  },
  {
    name: 'GMAIL_DOMAINS',
    default: '',
    secret: false,
    required: false,
    meaning:
      'domains of your Workspace, comma separated: the account may send from every address in them; only with the Workspace relay, which does not replace `From`',
  },
  {
    name: 'FROM_POLICY',
    default: 'reject',
    secret: false,
    required: false,
    meaning:
      'what happens to a `from` that is neither the account nor an alias, nor in `GMAIL_DOMAINS`: `reject`, `rewrite` (it moves to `Reply-To`), or `allow` (Gmail silently replaces it)',
  },
  {
    name: 'GMAIL_DAILY_MESSAGES',
    default: '',
    secret: false,
    required: false,
    meaning:
      'messages that an account may send in a rolling 24 h; if unset, 10000 if `SMTP_URL` has only the Workspace relay or `?login=none`, 500 for gmail.com and googlemail.com, otherwise 2000',
  },
  {
    name: 'GMAIL_DAILY_RECIPIENTS',
    default: '',
    secret: false,
    required: false,
    meaning:
      'recipients that an account may send to in a rolling 24 h; if unset, 10000, or 500 for gmail.com and googlemail.com without the relay',
  },
  {
    name: 'GMAIL_RESERVE',
    default: '10%',
    secret: false,
    required: false,
    meaning: 'share of those limits that is reserved for `"priority": "high"`, 0% to 90%',
  },
  {
    name: 'SMTP_URL',
    default: 'smtp://smtp.gmail.com:587,smtps://smtp.gmail.com:465',
    secret: false,
    required: false,
    meaning:
      'servers in order of preference: `smtp:` requires STARTTLS; `smtps:` is TLS from the first byte; `?login=none` is encrypted and without login, for the Workspace relay; `?tls=never` is unencrypted and without login',
  },
  {
    name: 'SMTP_EHLO_NAME',
    default: '',
    secret: false,
    required: false,
    meaning:
      'name in EHLO: a fully qualified host name or an address literal such as `[192.0.2.1]`; if unset, the host name of the machine if it has a dot, otherwise the domain of the account',
  },
  {
    name: 'SMTP_CONNECTIONS',
    default: '3',
    secret: false,
    required: false,
    meaning: 'pooled connections per account, 1 to 20, shared by all instances on the same Redis',
  },
  {
    name: 'SMTP_CONNECTIONS_PER_INSTANCE',
    default: '',
    secret: false,
    required: false,
    meaning: 'maximum of these connections per instance, if several share a queue; no maximum if unset',
  },
  {
    name: 'SMTP_RATE',
    default: '',
    secret: false,
    required: false,
    meaning: 'maximum messages per second and account, such as `20` or `0.5`; no limit if unset',
  },
  {
    name: 'ON_UNCERTAIN',
    default: 'retry',
    secret: false,
    required: false,
    meaning: 'what follows an attempt with an unknown outcome: `retry`, or `hold` until a client retries it',
  },
  {
    name: 'RETRY_FOR',
    default: '24h',
    secret: false,
    required: false,
    meaning: 'maximum time to retry transient failures',
  },
  {
    name: 'RECONCILE',
    default: 'on',
    secret: false,
    required: false,
    meaning:
      '`on`: a message whose attempt ended with an unknown outcome is searched for in the Sent Mail of its account, by IMAP, before `ON_UNCERTAIN` decides; or `off`',
  },
  {
    name: 'RECONCILE_FOR',
    default: '10m',
    secret: false,
    required: false,
    meaning: 'how long it is searched for there, from the end of the attempt',
  },
  {
    name: 'IMAP_URL',
    default: 'imaps://imap.gmail.com:993',
    secret: false,
    required: false,
    meaning:
      'server of the mailboxes of all accounts, with the logins of the accounts: `imaps:` is TLS from the first byte; `imap:` requires STARTTLS; the default applies only if `SMTP_URL` has a server of Gmail',
  },
  {
    name: 'INBOUND',
    default: 'off',
    secret: false,
    required: false,
    meaning:
      'what is read from the inbox of each account, by IMAP: `bounces`, `replies` (and bounces), or `off`; nothing is marked, moved or deleted',
  },
  {
    name: 'QUEUE_URL',
    default: 'memory:',
    secret: true,
    required: false,
    meaning:
      'storage of messages and all other state: `memory:` (lost in a crash), `sqlite:<file>` (one machine; survives a crash) or `redis://…`, `rediss://…` (any number of instances)',
  },
  {
    name: 'QUEUE_MAX_MESSAGES',
    default: '10000',
    secret: false,
    required: false,
    meaning: 'maximum waiting messages; beyond it, `503 queue_full`',
  },
  {
    name: 'QUEUE_MAX_BYTES',
    default: '256mb',
    secret: false,
    required: false,
    meaning: 'maximum size of waiting messages and of request bodies being read; beyond it, `503 queue_full`',
  },
  {
    name: 'RETAIN',
    default: '24h',
    secret: false,
    required: false,
    meaning: 'how long settled messages and idempotency keys are kept',
  },
  {
    name: 'RETAIN_CONTENT',
    default: '0',
    secret: false,
    required: false,
    meaning:
      'how long the content of sent and canceled messages is kept to be read, at most RETAIN; uses up to QUEUE_MAX_BYTES in addition',
  },
  {
    name: 'MAX_MESSAGE_BYTES',
    default: '35882577',
    secret: false,
    required: false,
    meaning: "maximum size of an encoded message; Gmail's own maximum is the default and the upper limit",
  },
  {
    name: 'RATE_LIMIT',
    default: '3000/1m',
    secret: false,
    required: false,
    meaning:
      'requests per API key and time window; a batch counts as its number of messages and must fit into one window',
  },
  {
    name: 'TRUST_PROXY',
    default: '',
    secret: false,
    required: false,
    meaning: 'addresses or CIDRs of proxies whose `X-Forwarded-For` is trusted, comma separated',
  },
  {
    name: 'UI',
    default: 'on',
    secret: false,
    required: false,
    meaning: "`on`: `/` is the operators' page, which asks for an API key; or `off`",
  },
  {
    name: 'TEMPLATES_DIR',
    default: '',
    secret: false,
    required: false,
    meaning:
      'directory of templates: each is a directory named by its id, with `subject.txt`, `body.html`, `body.txt`',
  },
  {
    name: 'WEBHOOK_URL',
    default: '',
    secret: false,
    required: false,
    meaning: 'endpoint of events: an https URL, or an http URL of a host in `WEBHOOK_ALLOWED_HOSTS`',
  },
  {
    name: 'WEBHOOK_SECRET',
    default: '',
    secret: true,
    required: false,
    meaning:
      'secret that signs events: `whsec_` and 24 to 64 bytes in base64; two, comma separated, during a rotation',
  },
  {
    name: 'WEBHOOK_ALLOWED_HOSTS',
    default: '',
    secret: false,
    required: false,
    meaning:
      'webhook hosts that may have private addresses or be called over http, comma separated; all others must be public and use https',
  },
  {
    name: 'ALERT_WEBHOOK_URL',
    default: '',
    secret: true,
    required: false,
    meaning:
      'webhook of a Slack, Discord or Teams channel that gets a message when an account is paused or resumed, mail is late, or a quota is nearly used; the rules of `WEBHOOK_ALLOWED_HOSTS` apply',
  },
  {
    name: 'ALLOWED_RECIPIENTS',
    default: '',
    secret: false,
    required: false,
    meaning:
      'for staging: the only addresses and `@domains` that mail may be sent to, comma separated; other recipients are refused',
  },
  {
    name: 'REDIRECT_ALL_TO',
    default: '',
    secret: false,
    required: false,
    meaning:
      'for staging: sends all mail to this address instead of its recipients, which are named in `X-Original-To`',
  },
  {
    name: 'SUPPRESS',
    default: 'hard',
    secret: false,
    required: false,
    meaning:
      '`hard`: suppress addresses that Gmail refused permanently, or that bounced because they do not exist; or `never`',
  },
  {
    name: 'METRICS',
    default: 'key',
    secret: false,
    required: false,
    meaning:
      'who may read `GET /metrics`: `key` (API keys with the scope `metrics` or `admin`), `open` (anyone who can connect), or `off`',
  },
  {
    name: 'METRICS_PORT',
    default: '',
    secret: false,
    required: false,
    meaning: 'port of its own for `GET /metrics`, at `HOST`; without it, the metrics are at `PORT`',
  },
  {
    name: 'LOG_LEVEL',
    default: 'info',
    secret: false,
    required: false,
    meaning: '`fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`',
  },
  {
    name: 'LOG_FORMAT',
    default: 'auto',
    secret: false,
    required: false,
    meaning: '`auto` (readable text in a terminal, else JSON lines), `json` or `pretty`',
  },
  {
    name: 'SHUTDOWN_TIMEOUT',
    default: '25s',
    secret: false,
    required: false,
    meaning: 'maximum time to shut down after SIGTERM, including running attempts',
  },
] as const satisfies readonly Variable[];

export type VariableName = (typeof VARIABLES)[number]['name'];
