import { existsSync } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';

const CHROMIUM = '/usr/bin/chromium';

export const hasChromium = existsSync(CHROMIUM);

/** Turns off what a browser does in the background. */
const ARGUMENTS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];

/**
 * Starts Chromium for the tests of a suite. Its pages are closed after each test, since open pages
 * slow down the next ones.
 *
 * @returns a function that returns the browser
 */
export function useChromium(): () => Browser {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
  }, 60_000);
  afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));
  afterAll(() => browser?.close());
  return () => browser;
}

/** What the browser reports of a page. */
export interface Watch {
  /** Policy violations, exceptions, warnings and failed requests. */
  readonly complaints: string[];
  /** URLs of requests to other hosts. */
  readonly foreign: string[];
}

/** Collects what the browser reports of a page from now on. */
export function watch(page: Page, origin: string): Watch {
  const complaints: string[] = [];
  const foreign: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('requestfailed', (request) => complaints.push(`${request.url()} failed`));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith('data:')) foreign.push(url);
  });
  return { complaints, foreign };
}

/** Opens a page in a context of its own, and collects what the browser reports. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page } & Watch> {
  const page = await browser.newPage(options);
  page.setDefaultTimeout(120_000);
  const reports = watch(page, new URL(url).origin);
  await page.goto(url);
  return { page, ...reports };
}
