import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { expect } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { type Watch, watch } from './browser.ts';
import { ADMIN_KEY, type ServiceUnderTest, startService } from './service.ts';
import { startSimulator } from './smtp/simulator-session.ts';

export const SCHEMES = ['light', 'dark'] as const;

export interface PageSetup {
  readonly key?: string | null;
  /** Where to begin, such as `#/messages`. */
  readonly at?: string;
  readonly scheme?: (typeof SCHEMES)[number];
  /** Width of the window, in CSS pixels. */
  readonly width?: number;
}

export interface OpenedPage extends Watch, AsyncDisposable {
  readonly page: Page;
}

/** Opens the operators' page of a service, signed in with a key unless it is null. */
export async function openUi(browser: Browser, url: string, setup: PageSetup = {}): Promise<OpenedPage> {
  const { key = ADMIN_KEY, at = '', scheme = 'light', width = 1200 } = setup;
  const context = await browser.newContext({
    colorScheme: scheme,
    viewport: { width, height: 900 },
    timezoneId: 'UTC',
    reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const reports = watch(page, new URL(url).origin);
  await page.goto(`${url}/${at}`);
  if (key !== null) await signIn(page, key);
  return { page, ...reports, [Symbol.asyncDispose]: () => context.close() };
}

export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Expects that axe finds no violation, and that nothing is wider than the window. */
export async function expectAccessible(page: Page): Promise<void> {
  // Through the debugger, which the content security policy of the page does not concern.
  await page.evaluate(`${AXE}; void 0`);
  const found = (await page.evaluate(
    `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
      violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html, any, all }) =>
        html + ' ' + [...any, ...all].map(({ message }) => message).join('; ')).join(' | ')))`,
  )) as string[];
  expect(found).toEqual([]);
  expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
}

export interface All extends AsyncDisposable {
  readonly gmail: Simulator;
  readonly service: ServiceUnderTest;
}

/** Starts a service against a simulator. Messages that fail temporarily wait for minutes. */
export async function startAll(env: Record<string, string> = {}): Promise<All> {
  const gmail = await startSimulator();
  const { user, password, url, ca } = gmail;
  const account = { GMAIL_USER: user, GMAIL_APP_PASSWORD: password };
  const service = await startService({ smtp: url, ca, env: { ...account, ...env }, backoffScale: 1 });
  const close = async () => {
    await service.close();
    await gmail[Symbol.asyncDispose]();
  };
  return { gmail, service, [Symbol.asyncDispose]: close };
}
