import { setTimeout as delay } from 'node:timers/promises';
import { MINUTE } from '../core/time.ts';
import {
  type AuthorizationRequest,
  createAuthorizationRequest,
  isAuthorizationResponse,
  readCode,
} from './authorization.ts';
import type { OAuthClient } from './client-file.ts';
import { LoginError } from './login-error.ts';
import { openLoopback } from './loopback.ts';

/** How a login communicates with its user. */
export interface LoginIo {
  readonly print: (text: string) => void;
  /**
   * Resolves with the next line of input, or with null at its end. Null if there is no input to
   * wait for.
   */
  readonly readLine: ((signal: AbortSignal) => Promise<string | null>) | null;
}

export interface ConsentOptions {
  /** The account that shall consent. */
  readonly user: string;
  readonly client: OAuthClient;
  /** Whether the user pastes the address of the response: no browser runs on this machine. */
  readonly paste: boolean;
  /** The loopback port to which Google redirects the browser; 0 for a free one. */
  readonly port: number;
  /** Maximum wait for the consent, in ms. */
  readonly timeoutMs?: number | undefined;
}

/** The code that Google issued for a request. */
export interface ReceivedCode {
  readonly request: AuthorizationRequest;
  readonly code: string;
}

/** The lifetime of a code. */
const TIMEOUT_MS = 10 * MINUTE;
/** Nothing listens there: the user copies the address of a page that cannot be loaded. */
const PASTE_REDIRECT_URI = 'http://127.0.0.1:8085';

/**
 * Asks for consent in a browser.
 *
 * @throws {LoginError} if it is not given in time, or Google refuses the request
 */
export async function receiveConsent(options: ConsentOptions, io: LoginIo): Promise<ReceivedCode> {
  const { user, client, paste, port, timeoutMs = TIMEOUT_MS } = options;
  await using loopback = paste ? null : await openLoopback(port);
  const request = createAuthorizationRequest(client, user, loopback?.redirectUri ?? PASTE_REDIRECT_URI);
  io.print(instructions(user, loopback?.startUrl ?? null, request, io.readLine !== null));
  const received = new AbortController();
  const { signal } = received;
  const ways = [
    loopback?.receive(request).then((address) => readCode(address, request)),
    io.readLine && readPastedCode(request, io.readLine, io.print, signal),
    rejectAfter(timeoutMs, signal),
  ];
  try {
    return { request, code: await Promise.race(ways.filter((way) => way instanceof Promise)) };
  } finally {
    received.abort();
  }
}

function instructions(
  user: string,
  startUrl: string | null,
  { url, redirectUri }: AuthorizationRequest,
  canPaste: boolean,
): string {
  if (startUrl === null)
    return [
      `Open this page in any browser, and grant access as ${user}:`,
      `  ${url}`,
      `The browser then fails to load a page at ${redirectUri}. Paste the whole address of that page here:`,
    ].join('\n\n');
  const waiting = 'Waiting for the response. If this machine has no browser, press Ctrl-C and add --paste.';
  return [
    `Open this page in a browser on this machine, and grant access as ${user}:`,
    `  ${startUrl}`,
    canPaste ? `${waiting}\nIf Google shows an error page, paste its address here:` : waiting,
  ].join('\n\n');
}

/** Reads lines until one is the address of a response to this request. */
async function readPastedCode(
  request: AuthorizationRequest,
  readLine: NonNullable<LoginIo['readLine']>,
  print: LoginIo['print'],
  signal: AbortSignal,
): Promise<string> {
  let problem = new LoginError('consent_not_received', 'the input ended without an address');
  for (;;) {
    const line = await readLine(signal);
    if (line === null) throw problem;
    const address = URL.parse(line.trim());
    if (address === null || !isAuthorizationResponse(address)) {
      print('This is not the address of a response: copy all of it, from http to the end.');
      continue;
    }
    try {
      return readCode(address, request);
    } catch (error) {
      if (!(error instanceof LoginError) || error.code !== 'consent_state_mismatch') throw error;
      problem = error;
      print('This address belongs to another login: open the page above again.');
    }
  }
}

async function rejectAfter(timeoutMs: number, signal: AbortSignal): Promise<never> {
  await delay(timeoutMs, null, { signal });
  throw new LoginError('consent_not_received', `there was no response within ${timeoutMs / 1000} s`);
}
