import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { SCRIPTED_LOGINS } from './auth/authenticator.ts';
import { CONTROL_ROUTES } from './control/control-server.ts';
import { SCRIPTED_DOMAIN, SCRIPTED_RECIPIENTS } from './gmail/scripted-recipients.ts';
import { openSimulator, type Simulator, type SimulatorOptions } from './simulator.ts';

export const SIMULATOR_USAGE = `Usage: outtray simulator [options]

Runs a simulator of Gmail that sends nothing: real SMTP and IMAP servers with the greetings, logins and replies of Gmail.

  --host HOST        address to listen on (127.0.0.1)
  --smtp-port PORT   SMTP with STARTTLS (2587)
  --smtps-port PORT  SMTP with TLS from the first byte (2465)
  --imap-port PORT   IMAP with TLS from the first byte: Sent Mail and INBOX of each user (2993; a free port with another --smtp-port)
  --http-port PORT   HTTP: shows received messages and controls faults; GET / lists the routes (2580)
  --user USER        the user name to announce; any user name can log in (demo@simulator.test)
  --password SECRET  the app password (abcdefghijklmnop)
  --alias ADDRESS    a "Send mail as" address, allowed in From; can be repeated
  --relay DOMAIN     act as the Workspace relay of this domain, which needs no login; can be repeated
  --daily-limit N    messages each user may send in 24 h (no limit)
  --ca-file FILE     write the CA certificate to this file, for NODE_EXTRA_CA_CERTS
  --key-file FILE    write a service account key to this file, for GMAIL_SERVICE_ACCOUNT_FILE
  --client-file FILE write an OAuth client to this file, for outtray login --client-file`;

const DEFAULT_SMTP_PORT = '2587';
const DEFAULT_IMAP_PORT = '2993';

const OPTIONS = {
  host: { type: 'string', default: '127.0.0.1' },
  'smtp-port': { type: 'string', default: DEFAULT_SMTP_PORT },
  'smtps-port': { type: 'string', default: '2465' },
  'imap-port': { type: 'string' },
  'http-port': { type: 'string', default: '2580' },
  user: { type: 'string', default: 'demo@simulator.test' },
  password: { type: 'string', default: 'abcdefghijklmnop' },
  alias: { type: 'string', multiple: true, default: [] as string[] },
  relay: { type: 'string', multiple: true, default: [] as string[] },
  'daily-limit': { type: 'string' },
  'ca-file': { type: 'string' },
  'key-file': { type: 'string' },
  'client-file': { type: 'string' },
} as const;

/** An invalid command line. */
class UsageError extends Error {}

/** Where it prints. */
export interface SimulatorOutput {
  out(line: string): void;
  /** Receives the reason if it cannot start. */
  err(line: string): void;
}

/**
 * Runs `outtray simulator` until the signal is aborted.
 *
 * @returns the exit code: 0 when aborted, 1 if it could not start, 2 if the command line is invalid
 */
export async function runSimulator(
  args: string[],
  { out, err }: SimulatorOutput,
  signal: AbortSignal,
): Promise<number> {
  try {
    const { caFile, keyFile, clientFile, relayDomains, dailyLimit, ...options } = parseCommandLine(args);
    await using simulator = await openSimulator(options);
    if (relayDomains.length > 0) simulator.setRelay({ domains: relayDomains, allowed: true });
    if (dailyLimit !== undefined) simulator.setDailyLimit({ messages: dailyLimit });
    if (caFile !== undefined) await writeFile(caFile, simulator.ca);
    if (keyFile !== undefined) await writeFile(keyFile, simulator.oauth.serviceAccount, { mode: 0o600 });
    if (clientFile !== undefined) await writeFile(clientFile, simulator.oauth.clientFile, { mode: 0o600 });
    for (const line of introduction(simulator, { caFile, keyFile, clientFile }, relayDomains)) out(line);
    if (!signal.aborted) await once(signal, 'abort');
    return 0;
  } catch (error) {
    err(error instanceof Error ? error.message : String(error));
    return error instanceof UsageError ? 2 : 1;
  }
}

/** The files to write. */
interface Files {
  readonly caFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly clientFile: string | undefined;
}

interface CommandLine extends SimulatorOptions, Files {
  /** Empty: the server is smtp.gmail.com. */
  readonly relayDomains: readonly string[];
  readonly dailyLimit: number | undefined;
}

function parseCommandLine(args: string[]): CommandLine {
  const { values } = parse(args);
  return {
    host: values.host,
    starttlsPort: parsePort('--smtp-port', values['smtp-port']),
    tlsPort: parsePort('--smtps-port', values['smtps-port']),
    imapPort: parsePort('--imap-port', values['imap-port'] ?? defaultImapPort(values['smtp-port'])),
    httpPort: parsePort('--http-port', values['http-port']),
    user: values.user,
    password: parseNonEmpty('--password', values.password),
    aliases: values.alias,
    relayDomains: values.relay.map((domain) => parseNonEmpty('--relay', domain).toLowerCase()),
    dailyLimit:
      values['daily-limit'] === undefined ? undefined : parseCount('--daily-limit', values['daily-limit']),
    caFile: values['ca-file'],
    keyFile: values['key-file'],
    clientFile: values['client-file'],
  };
}

/** Two simulators with ports of their own must not share the default port of IMAP. */
function defaultImapPort(smtpPort: string): string {
  return smtpPort === DEFAULT_SMTP_PORT ? DEFAULT_IMAP_PORT : '0';
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, strict: true, allowPositionals: false });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function parsePort(option: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65_535) return port;
  throw new UsageError(`${option}: "${text}" is not a port from 0 to 65535`);
}

function parseCount(option: string, text: string): number {
  if (/^\d{1,7}$/.test(text)) return Number(text);
  throw new UsageError(`${option}: "${text}" is not a number of messages`);
}

function parseNonEmpty(option: string, text: string): string {
  if (text !== '') return text;
  throw new UsageError(`${option}: must not be empty`);
}

function introduction(
  simulator: Simulator,
  { caFile, keyFile, clientFile }: Files,
  relayDomains: readonly string[],
): string[] {
  const { starttlsPort, tlsPort, httpUrl, user, password, url, oauth, imap } = simulator;
  const scripted = (name: string, summary: string) =>
    `  ${`${name}@${SCRIPTED_DOMAIN}`.padEnd(40)}${summary}`;
  return [
    `Gmail simulator: STARTTLS on port ${starttlsPort}, TLS on port ${tlsPort}, received messages at ${httpUrl}/messages, IMAP on port ${imap.port}`,
    '',
    ...(relayDomains.length > 0
      ? relaySettings(url, relayDomains)
      : [
          `  GMAIL_USER=${user}`,
          `  GMAIL_APP_PASSWORD=${password}`,
          `  SMTP_URL=${url}`,
          `  IMAP_URL=${imap.url}`,
        ]),
    ...(caFile === undefined ? [] : [`  NODE_EXTRA_CA_CERTS=${caFile}`]),
    '',
    'OAuth2 instead of the password:',
    `  GMAIL_OAUTH_CLIENT_ID=${oauth.clientId}`,
    `  GMAIL_OAUTH_CLIENT_SECRET=${oauth.clientSecret}`,
    `  GMAIL_OAUTH_REFRESH_TOKEN=${oauth.refreshToken}`,
    `  GMAIL_OAUTH_TOKEN_URL=${oauth.tokenUrl}`,
    ...(keyFile === undefined
      ? []
      : ['Or a service account, with the same token URL:', `  GMAIL_SERVICE_ACCOUNT_FILE=${keyFile}`]),
    ...(clientFile === undefined
      ? []
      : ['Or a login of your own:', `  outtray login --user ${user} --client-file ${clientFile}`]),
    '',
    'Every recipient is accepted, except for these (name+anything@ works like name@):',
    ...SCRIPTED_RECIPIENTS.map(({ name, summary }) => scripted(name, summary)),
    '',
    'Every user name can log in with the password, except for these:',
    ...SCRIPTED_LOGINS.map(({ name, summary }) => scripted(name, summary)),
    '',
    `Received messages and fault controls at ${httpUrl}:`,
    ...CONTROL_ROUTES.map(({ method, path, summary }) => `  ${`${method} ${path}`.padEnd(40)}${summary}`),
  ];
}

/** The settings for the relay, without a login. */
function relaySettings(url: string, domains: readonly string[]): string[] {
  return [
    `  GMAIL_USER=bot@${domains[0]}`,
    `  GMAIL_DOMAINS=${domains.join(',')}`,
    `  SMTP_URL=${url
      .split(',')
      .map((server) => `${server}?login=none`)
      .join(',')}`,
  ];
}
