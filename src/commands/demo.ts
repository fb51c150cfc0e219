import { randomBytes } from 'node:crypto';
import { ConfigError, parseConfig } from '../config/config.ts';
import type { VariableName } from '../config/variables.ts';
import type { MessageResource } from '../http/schemas/message.ts';
import type { Problem } from '../http/schemas/problem.ts';
import { createLogger } from '../log.ts';
import { openService } from '../service/service.ts';
import { endWithin, STOP_WITHIN_MS } from '../service/shutdown.ts';
import { openSimulator, type Simulator } from '../simulator/simulator.ts';
import { createDemoInbox } from './demo-inbox.ts';
import { aborted, describeListenError, refuse } from './serve.ts';
import { createServiceDoctor } from './service-doctor.ts';

const USAGE = `Usage: outtray demo [--once]

Runs the service against the built-in Gmail simulator, without an account. Sends one sample message and keeps running.
  --once   exit after the sample, with 0 only if it was sent`;

/** The simulator replies to this recipient after 400 ms. */
const SAMPLE = {
  to: 'slow+400ms@simulator.test',
  subject: 'Hello from Outtray',
  text: 'This message took the whole path: HTTP, queue, TLS, login, SMTP.',
};
/** Seconds to wait for the sample. */
const SAMPLE_WAIT = 30;
/** Seconds that the printed curl command waits. */
const CURL_WAIT = 10;

/** Runs the real service with connection pool, TLS and login against the simulator. */
export async function demo(
  args: string[],
  { version, signal }: { version: string; signal: AbortSignal },
): Promise<number> {
  if (args.some((arg) => arg !== '--once')) return refuse(args, USAGE);
  endWithin(STOP_WITHIN_MS, signal);
  const key = randomBytes(24).toString('hex');
  await using gmail = await openSimulator();
  try {
    const env = {
      ...demoEnvironment(process.env),
      ...accountEnvironment(gmail),
      API_KEYS: `demo:${key}:admin`,
    };
    const { config } = parseConfig(env);
    const logger = createLogger('warn', config.logFormat);
    const demoInbox = createDemoInbox(gmail.messages);
    await using service = await openService({
      config,
      version,
      logger,
      ca: gmail.ca,
      doctor: createServiceDoctor({ env: () => env, version, ca: gmail.ca }),
      demoInbox,
    });
    if (args.includes('--once')) {
      // Without URL and key, which would be useless a moment later.
      say(`Outtray ${version} against a Gmail simulator\n`);
      return (await sendSample(service.url, key)) ? 0 : 1;
    }
    say(`Outtray ${version} is running at ${service.url}, against a Gmail simulator at ${gmail.url}\n`);
    say(`API key: ${key}\n`);
    if (config.webhooks.url) say(`Events go to ${config.webhooks.url}\n`);
    say('Send a message:\n');
    say(`  ${curlLine(service.url, key)}\n`);
    await sendSample(service.url, key);
    say(`\nMessages received by the simulator (from this machine only): ${gmail.httpUrl}/messages`);
    say(`To try the API in a browser: ${service.url}/docs`);
    say('\nPress Ctrl-C to stop.');
    say(`\nOpen ${service.url}/#key=${key}`);
    await aborted(signal);
    return 0;
  } catch (error) {
    const message =
      error instanceof ConfigError
        ? error.message
        : error instanceof Error
          ? describeListenError(error)
          : String(error);
    process.stderr.write(`${message}\n`);
    return error instanceof ConfigError ? 2 : 1;
  }
}

/**
 * Sends the sample over HTTP like any client, in one request so that it fits any RATE_LIMIT. Prints
 * each status of the message.
 *
 * @returns Whether it was sent.
 * @throws {Error} If it was not accepted.
 */
async function sendSample(url: string, key: string): Promise<boolean> {
  const response = await fetch(`${url}/send`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      prefer: `wait=${SAMPLE_WAIT}`,
    },
    body: JSON.stringify(SAMPLE),
  });
  const body = (await response.json()) as MessageResource | Problem;
  const message = 'recipients' in body ? body : body.message;
  if (!message) throw new Error(`The sample was refused: ${describeProblem(body as Problem)}`);
  say(`Sample message ${message.id} to ${SAMPLE.to}:`);
  say('  queued');
  if (message.attempts.length > 0) say('  sending');
  say(`  ${message.status}${describeResult(message)}`);
  return message.status === 'sent';
}

function describeProblem({ code, detail, hint }: Problem): string {
  return `${code}. ${detail} ${hint}`;
}

/** Returns the reply of the server, or the error. */
function describeResult({ attempts, error }: MessageResource): string {
  if (error) return `: ${error.code}. ${error.detail} ${error.hint}`;
  const smtp = attempts.at(-1)?.smtp;
  return smtp ? `: ${smtp.code} ${smtp.enhanced} ${smtp.response}` : '';
}

function curlLine(url: string, key: string): string {
  const body = JSON.stringify({ to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' });
  const headers = [
    `Authorization: Bearer ${key}`,
    'Content-Type: application/json',
    `Prefer: wait=${CURL_WAIT}`,
  ];
  return `curl -s ${url}/send ${headers.map((header) => `-H '${header}'`).join(' ')} -w '\\n' -d '${body}'`;
}

const PASSED_ON: readonly VariableName[] = [
  'HOST',
  'PORT',
  'RATE_LIMIT',
  'SMTP_CONNECTIONS',
  'ON_UNCERTAIN',
  'RECONCILE',
  'RECONCILE_FOR',
  'INBOUND',
  'TEMPLATES_DIR',
  'WEBHOOK_URL',
  'WEBHOOK_SECRET',
  'WEBHOOK_ALLOWED_HOSTS',
  'METRICS',
  'METRICS_PORT',
  'ALERT_WEBHOOK_URL',
  'LOG_FORMAT',
];

/**
 * Returns the variables of the user's environment that apply to the demo: listening, limits, what
 * is read from mailboxes, templates, webhooks and the format of the log, but never an account. FROM_POLICY lets a message
 * have any From. RETAIN_CONTENT lets the page show it.
 */
function demoEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_TLS_REJECT_UNAUTHORIZED } = env;
  return {
    ...Object.fromEntries(PASSED_ON.map((name) => [name, env[name]])),
    NODE_TLS_REJECT_UNAUTHORIZED,
    FROM_POLICY: 'rewrite',
    RETAIN_CONTENT: '24h',
  };
}

function accountEnvironment({ user, password, url, imap }: Simulator): Record<string, string> {
  return { GMAIL_USER: user, GMAIL_APP_PASSWORD: password, SMTP_URL: url, IMAP_URL: imap.url };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
