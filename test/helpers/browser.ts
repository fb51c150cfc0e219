import { existsSync, readFileSync } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';
const AXE = new URL('../../node_modules/axe-core/axe.min.js', import.meta.url);
/** Turns off what a browser does in the background. */
const ARGUMENTS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];

/** Whether tests in a browser can run. In CI they must, so they fail there without Chromium. */
export const hasChromium = existsSync(CHROMIUM) || process.env.CI === 'true';

export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
}

export interface OpenedPage {
  readonly page: Page;
  /** What the browser reported: policy violations, failed requests, exceptions and warnings. */
  readonly complaints: readonly string[];
  /** Requests to other origins. */
  readonly foreign: readonly string[];
}

/** Opens a page in a context of its own, and collects what the browser reports. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<OpenedPage> {
  const page = await browser.newPage(options);
  page.setDefaultTimeout(120_000);
  const complaints: string[] = [];
  const foreign: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('requestfailed', (request) => complaints.push(`${request.url()} failed`));
  page.on('request', (request) => {
    if (!request.url().startsWith(new URL(url).origin) && !request.url().startsWith('data:'))
      foreign.push(request.url());
  });
  await page.goto(url);
  return { page, complaints, foreign };
}

let axe: string | undefined;

/** Returns what axe finds inaccessible on a page: the rule, and the elements that violate it. */
export async function findViolations(page: Page): Promise<string[]> {
  axe ??= readFileSync(AXE, 'utf8');
  await page.evaluate(axe);
  const { violations } = (await page.evaluate('axe.run()')) as {
    violations: { id: string; nodes: { target: string[] }[] }[];
  };
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(', ')}`);
}
