export interface Variable {
  readonly name: string;
  /** As one would write it; empty if there is none. */
  readonly default: string;
  /** Can also be given as a file, by `<name>_FILE`; its value is never repeated. */
  readonly secret: boolean;
  readonly required: boolean;
  readonly meaning: string;
}

/** Every variable there is. The schema, `.env.example` and the README's table are written from this list or checked against it. */
export const VARIABLES = [
  {
    name: 'HOST',
    default: '127.0.0.1',
    secret: false,
    required: false,
    meaning: 'where to listen: an IP address or a host name',
  },
  {
    name: 'PORT',
    default: '3000',
    secret: false,
    required: false,
    meaning: 'the port to listen on; 0 picks a free one',
  },
  {
    name: 'API_KEYS',
    default: '',
    secret: true,
    required: true,
    meaning:
      '`name:secret` pairs, comma separated; the secret has at least 24 characters or is `sha256:<hex>`; `:admin` after it sees all. Or a JSON list of objects with `name`, `secret` (or `secret_file`), `scopes`, `allowed_from`, `allowed_recipients`, `rate_limit`, `daily_limit`, `test`, `webhook_url`. Read again on SIGHUP if it stands in a file',
  },
  {
    name: 'GMAIL_USER',
    default: '',
    secret: false,
    required: true,
    meaning: 'the full address of the account, also for Workspace domains; not with `GMAIL_ACCOUNTS`',
  },
  {
    name: 'GMAIL_APP_PASSWORD',
    default: '',
    secret: true,
    required: true,
    meaning:
      '16 letters; the spaces Google shows are removed; not with OAuth2, a service account or `GMAIL_ACCOUNTS`, and not needed if every server of `SMTP_URL` has `?tls=never`',
  },
  {
    name: 'GMAIL_OAUTH_CLIENT_ID',
    default: '',
    secret: false,
    required: false,
    meaning:
      'OAuth2 in place of the app password: the client, made in the Google Cloud console; it takes this and the next two',
  },
  {
    name: 'GMAIL_OAUTH_CLIENT_SECRET',
    default: '',
    secret: true,
    required: false,
    meaning: 'the secret of that client',
  },
  {
    name: 'GMAIL_OAUTH_REFRESH_TOKEN',
    default: '',
    secret: true,
    required: false,
    meaning: 'what the account granted that client, for the scope `https://mail.google.com/`',
  },
  {
    name: 'GMAIL_SERVICE_ACCOUNT',
    default: '',
    secret: true,
    required: false,
    meaning:
      'in place of both: the JSON key of a Workspace service account with domain-wide delegation of that scope; better as a file, by `GMAIL_SERVICE_ACCOUNT_FILE`',
  },
  {
    name: 'GMAIL_OAUTH_TOKEN_URL',
    default: 'https://oauth2.googleapis.com/token',
    secret: false,
    required: false,
    meaning: 'where access tokens are to be had: `https:`, or `http:` to this machine for tests',
  },
  {
    name: 'GMAIL_ACCOUNTS',
    default: '',
    secret: true,
    required: false,
    meaning:
      'several accounts, in place of `GMAIL_USER` and the logins above: a JSON list of objects with `user`, `app_password`, `oauth_client_id`, `oauth_client_secret`, `oauth_refresh_token`, `service_account`, `from`, `aliases` (a list), `daily_messages`, `daily_recipients`, `reserve`; a secret can also be a path, as in `app_password_file`',
  },
  {
    name: 'GMAIL_FROM',
    default: 'GMAIL_USER',
    secret: false,
    required: false,
    meaning: 'the default `From`, such as `Acme <no-reply@acme.com>`',
  },
  {
    name: 'GMAIL_ALIASES',
    default: '',
    secret: false,
    required: false,
    meaning: 'the verified "Send mail as" addresses of the account, comma separated',
  },
  {
    name: 'FROM_POLICY',
    default: 'reject',
    secret: false,
    required: false,
    meaning:
      'a `from` that is neither the account nor an alias: `reject`, `rewrite` (it moves to `Reply-To`), or `allow` (Gmail then replaces it in silence)',
  },
  {
    name: 'GMAIL_DAILY_MESSAGES',
    default: '',
    secret: false,
    required: false,
    meaning:
      'messages an account may send in a rolling 24 h: 500 for gmail.com and googlemail.com, else 2000, unless set',
  },
  {
    name: 'GMAIL_DAILY_RECIPIENTS',
    default: '',
    secret: false,
    required: false,
    meaning:
      'recipients an account may send to in a rolling 24 h: 500 for gmail.com and googlemail.com, else 10000, unless set',
  },
  {
    name: 'GMAIL_RESERVE',
    default: '10%',
    secret: false,
    required: false,
    meaning: 'the part of those limits kept for `"priority": "high"`, 0% to 90%',
  },
  {
    name: 'SMTP_URL',
    default: 'smtp://smtp.gmail.com:587,smtps://smtp.gmail.com:465',
    secret: false,
    required: false,
    meaning:
      'servers in order of preference: `smtp:` is STARTTLS, required; `smtps:` is TLS from the first byte; `?tls=never` is in the clear, without login',
  },
  {
    name: 'SMTP_CONNECTIONS',
    default: '3',
    secret: false,
    required: false,
    meaning: 'pooled connections per account, 1 to 20; instances that share a queue on Redis share them, too',
  },
  {
    name: 'SMTP_CONNECTIONS_PER_INSTANCE',
    default: '',
    secret: false,
    required: false,
    meaning: 'how many of these one instance may have, where several share a queue; any number unless set',
  },
  {
    name: 'SMTP_RATE',
    default: '',
    secret: false,
    required: false,
    meaning: 'messages per second per account at most, such as `20` or `0.5`; no limit unless set',
  },
  {
    name: 'ON_UNCERTAIN',
    default: 'retry',
    secret: false,
    required: false,
    meaning: 'after an attempt whose outcome cannot be known: `retry`, or `hold` for a person to decide',
  },
  {
    name: 'RETRY_FOR',
    default: '24h',
    secret: false,
    required: false,
    meaning: 'how long a transient failure is retried',
  },
  {
    name: 'QUEUE_URL',
    default: 'memory:',
    secret: true,
    required: false,
    meaning:
      'where messages and all that is known of them are kept: `memory:` (lost in a crash), `sqlite:<file>` (one machine; survives a crash) or `redis://…`, `rediss://…` (any number of instances)',
  },
  {
    name: 'QUEUE_MAX_MESSAGES',
    default: '10000',
    secret: false,
    required: false,
    meaning: 'messages that may wait; past it, `503 queue_full`',
  },
  {
    name: 'QUEUE_MAX_BYTES',
    default: '256mb',
    secret: false,
    required: false,
    meaning: 'memory they may occupy, with the request bodies being read; past it, `503 queue_full`',
  },
  {
    name: 'RETAIN',
    default: '24h',
    secret: false,
    required: false,
    meaning: 'how long a finished message can be looked up; also the life of an idempotency key',
  },
  {
    name: 'MAX_MESSAGE_BYTES',
    default: '35882577',
    secret: false,
    required: false,
    meaning: "the encoded message at most; no more than Gmail's own SIZE, which is the default",
  },
  {
    name: 'RATE_LIMIT',
    default: '3000/1m',
    secret: false,
    required: false,
    meaning:
      'requests per API key in a window of time; a batch counts as its messages, and must fit into one window',
  },
  {
    name: 'TRUST_PROXY',
    default: '',
    secret: false,
    required: false,
    meaning: 'addresses or CIDRs of proxies whose `X-Forwarded-For` is believed, comma separated',
  },
  {
    name: 'TEMPLATES_DIR',
    default: '',
    secret: false,
    required: false,
    meaning:
      'a directory of templates: one directory for each, named by its id, with `subject.txt`, `body.html`, `body.txt`',
  },
  {
    name: 'WEBHOOK_URL',
    default: '',
    secret: false,
    required: false,
    meaning: 'where events go: an https URL, or http to one of `WEBHOOK_ALLOWED_HOSTS`',
  },
  {
    name: 'WEBHOOK_SECRET',
    default: '',
    secret: true,
    required: false,
    meaning:
      'what they are signed with: `whsec_` and 24 to 64 bytes in base64; two, comma separated, while you change it',
  },
  {
    name: 'WEBHOOK_ALLOWED_HOSTS',
    default: '',
    secret: false,
    required: false,
    meaning:
      'hosts of webhooks that may have private addresses or be called by http, comma separated: all others must be public and https',
  },
  {
    name: 'ALLOWED_RECIPIENTS',
    default: '',
    secret: false,
    required: false,
    meaning:
      'for staging: mail goes only to these addresses and `@domains`, comma separated; all else is refused',
  },
  {
    name: 'REDIRECT_ALL_TO',
    default: '',
    secret: false,
    required: false,
    meaning:
      'for staging: everything goes to this one address in place of its recipients, whom it names in `X-Original-To`',
  },
  {
    name: 'SUPPRESS',
    default: 'hard',
    secret: false,
    required: false,
    meaning: '`hard`: remember addresses that Gmail refused for good, and refuse them here; or `never`',
  },
  {
    name: 'LOG_LEVEL',
    default: 'info',
    secret: false,
    required: false,
    meaning: '`fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`',
  },
  {
    name: 'SHUTDOWN_TIMEOUT',
    default: '25s',
    secret: false,
    required: false,
    meaning: 'how long attempts in flight may take to finish after SIGTERM',
  },
] as const satisfies readonly Variable[];

export type VariableName = (typeof VARIABLES)[number]['name'];
