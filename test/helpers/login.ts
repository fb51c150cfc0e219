import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseClientFile } from '../../src/login/client-file.ts';
import { type ConsentLogin, logInByConsent } from '../../src/login/login.ts';
import type { Trial } from '../../src/login/try-login.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';

/** A login that waits for consent. */
export interface LoginUnderTest {
  /** Resolves with the page to open in a browser. */
  readonly page: Promise<string>;
  readonly trial: Promise<Trial>;
  /** Everything printed so far. */
  output(): string;
  /** Enters a line; null ends the input. */
  enter(line: string | null): void;
}

/** A folder for the file of a login, which is removed at the end. */
export async function createFolder(): Promise<AsyncDisposable & { readonly file: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'outtray-login-'));
  return { file: join(folder, 'gmail.json'), [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

/** Starts `outtray login` in this process, against the simulator. */
export function startLogin(
  gmail: Simulator,
  file: string,
  { hasInput = true, ...patch }: Partial<ConsentLogin> & { readonly hasInput?: boolean } = {},
): LoginUnderTest {
  const printed: string[] = [];
  const page = Promise.withResolvers<string>();
  const lines: (string | null)[] = [];
  let wake = () => {};
  const readLine = async () => {
    while (lines.length === 0)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    return lines.shift() as string | null;
  };
  const print = (text: string) => {
    printed.push(text);
    const [url] = /http:\/\/\S+\/(?:login$|o\/oauth2\S+)/m.exec(text) ?? [];
    if (url) page.resolve(url);
  };
  const options: ConsentLogin = {
    kind: 'consent',
    user: gmail.user,
    client: parseClientFile(gmail.oauth.clientFile, undefined),
    file,
    paste: false,
    port: 0,
    servers: [{ host: 'localhost', port: gmail.starttlsPort, tls: 'starttls' }],
    network: { ca: gmail.ca },
    ...patch,
  };
  const trial = logInByConsent(options, { print, readLine: hasInput ? readLine : null });
  trial.catch(page.reject);
  page.promise.catch(() => {});
  return {
    page: page.promise,
    trial,
    output: () => printed.join('\n'),
    enter(line) {
      lines.push(line);
      wake();
    },
  };
}

/** What the user does on the simulator's consent page. */
export interface Choices {
  readonly account?: string;
  readonly mail?: boolean;
  readonly decision?: 'continue' | 'cancel';
}

/**
 * Consents as a browser would. Returns the address that Google redirects to, without opening it.
 * It is that of an error page if the simulator refuses the request.
 */
export async function consent(page: string, choices: Choices = {}): Promise<string> {
  const address = page.endsWith('/login') ? await redirectOf(page) : page;
  const response = await fetch(address, { redirect: 'manual' });
  if (response.status === 302) return locationOf(response, address);
  const { origin, pathname, searchParams } = new URL(address);
  const { account = searchParams.get('login_hint') ?? '', mail = true, decision = 'continue' } = choices;
  const fields = { account, decision, ...(mail && { mail: 'granted' }) };
  const body = new URLSearchParams({ ...Object.fromEntries(searchParams), ...fields });
  return redirectOf(`${origin}${pathname}`, { method: 'POST', body });
}

async function redirectOf(url: string, init: RequestInit = {}): Promise<string> {
  return locationOf(await fetch(url, { ...init, redirect: 'manual' }), url);
}

function locationOf(response: Response, base: string): string {
  const location = response.headers.get('location');
  if (location === null) throw new Error(`${response.status} without a redirect: ${base}`);
  return new URL(location, base).href;
}
