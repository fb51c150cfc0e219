import { InvalidValue, isHost, splitList } from './value-parsers.ts';

/** Endpoints of events, and the rules for calling them. */
export interface WebhookConfig {
  /**
   * Receives the events of every message and account. Null: only the endpoints of keys receive any.
   */
  readonly url: string | null;
  /** One secret, or two during a rotation. Calls are signed with each. */
  readonly secrets: readonly Uint8Array[];
  /** Hosts that may have private addresses and be called over http. */
  readonly allowedHosts: readonly string[];
}

/**
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
 */
const SECRET_BYTES = { min: 24, max: 64 };
const MAX_SECRETS = 2;
const HOW_TO_SIGN = `It must be whsec_ and ${SECRET_BYTES.min} to ${SECRET_BYTES.max} bytes in base64: "whsec_$(openssl rand -base64 32)". Two are separated by a comma.`;

export function parseWebhookUrl(text: string): string {
  const url = parseHttpUrl(text, 'https://crm.example.com/hooks/mail');
  if (url.username !== '' || url.password !== '') {
    throw new InvalidValue(
      'It must not contain a user name or password: the endpoint authenticates calls by their signature.',
    );
  }
  return url.href;
}

/** Parses the URL of a chat's webhook, which is a secret itself. */
export function parseAlertUrl(text: string): string {
  const url = parseHttpUrl(text, 'https://hooks.slack.com/services/…');
  if (url.username !== '' || url.password !== '')
    throw new InvalidValue('It must not contain a user name or password: they would not be sent.');
  return url.href;
}

function parseHttpUrl(text: string, example: string): URL {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol))
    throw new InvalidValue(`It must be a complete URL, such as ${example}.`);
  url.hash = '';
  return url;
}

export function parseWebhookSecrets(text: string): Uint8Array[] {
  const secrets = splitList(text).map(parseWebhookSecret);
  if (secrets.length === 0) throw new InvalidValue(HOW_TO_SIGN);
  if (secrets.length > MAX_SECRETS)
    throw new InvalidValue('It must have at most two secrets: the new one and the previous one.');
  return secrets;
}

function parseWebhookSecret(text: string): Uint8Array {
  const bytes = Buffer.from(text.replace(/^whsec_/, ''), 'base64');
  const isBase64 = /^whsec_[A-Za-z0-9+/]+={0,2}$/.test(text);
  if (!isBase64 || bytes.length < SECRET_BYTES.min || bytes.length > SECRET_BYTES.max) {
    throw new InvalidValue(HOW_TO_SIGN);
  }
  return bytes;
}

export function parseHosts(text: string): string[] {
  const hosts = splitList(text).map((host) => host.toLowerCase());
  if (!hosts.every(isHost))
    throw new InvalidValue(
      'It must list host names or IP addresses (IPv6 without brackets), without a port.',
    );
  return hosts;
}

/** Returns the problem of an endpoint with the rest of the webhook configuration, or null. */
export function findWebhookProblem(
  url: string,
  { secrets, allowedHosts }: Pick<WebhookConfig, 'secrets' | 'allowedHosts'>,
): string | null {
  if (secrets.length === 0)
    return 'It needs a WEBHOOK_SECRET to sign with: "whsec_$(openssl rand -base64 32)".';
  return findSchemeProblem(url, allowedHosts);
}

/** Returns the problem of the scheme of an endpoint, or null. */
export function findSchemeProblem(url: string, allowedHosts: readonly string[]): string | null {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'https:' || allowedHosts.includes(hostname.replace(/^\[|\]$/g, ''))) return null;
  return 'It must be https, unless its host is one of WEBHOOK_ALLOWED_HOSTS.';
}
