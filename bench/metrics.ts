import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from './parts/children.ts';
import type { Usage } from './parts/probe.ts';
import { BODY, KEY, post, ROOMY, startLoad, startOn, startSink } from './processes.ts';
import { atMost, duration, over, type Report } from './report.ts';

const ROUNDS = 12;
/** Duration of the load of one side in a round, in ms: two scrapes, or two times ten. */
const LOAD_MS = 1500;
const SCRAPE_EVERY_MS = 1000;
const WARM_UP = 20_000;
/** Scrapes whose CPU time is measured. */
const SCRAPES = 50;

/**
 * Scrapes at once, by side. The rate declines as messages accumulate, so the baseline of a round is
 * the mean of the sides before and after the scraped ones. Their ratio shows the noise.
 */
const SIDES = { before: 0, one: 1, ten: 10, after: 0 } as const;
type Side = keyof typeof SIDES;

/** Rate of POST /send to one service while it is scraped, compared with when it is not. */
export async function scrapedRates(): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const load = stack.use(await startLoad());
  const sink = stack.use(await startSink());
  await sink.ask('hold');
  const service = await startOn('memory', sink, stack, { ...ROOMY, METRICS: 'open' });
  const send = { path: '/send', body: BODY, connections: 64, port: service.port, key: KEY };
  await post(load, { ...send, requests: WARM_UP });
  const rates: Record<Side, number[]> = { before: [], one: [], ten: [], after: [] };
  for (let round = 0; round < ROUNDS; round += 1)
    for (const [side, scrapers] of Object.entries(SIDES))
      rates[side as Side].push(await acceptedWhileScraped(load, send, scrapers));
  const scrapeMs = await cpuTimePerScrape(service);
  const unscraped = rates.before.map((rate, round) => (rate + (rates.after[round] ?? rate)) / 2);
  return {
    rows: [
      over('accepted while scraped once a second', rates.one, unscraped, 0.98),
      over('accepted while scraped ten times at once, every second', rates.ten, unscraped, 0.98),
      over('noise: accepted without scrapes, after vs before', rates.after, rates.before, null),
      atMost('CPU time of a scrape', duration(scrapeMs), scrapeMs, 0.02 * SCRAPE_EVERY_MS),
    ],
  };
}

async function acceptedWhileScraped(
  load: Child,
  send: Parameters<typeof post>[1],
  scrapers: number,
): Promise<number> {
  const stopping = new AbortController();
  const scraping = scrapeEverySecond(send.port, scrapers, stopping.signal);
  const { seconds, latencies } = await post(load, { ...send, ms: LOAD_MS });
  stopping.abort();
  await scraping;
  return latencies.length / seconds;
}

async function scrapeEverySecond(port: number, scrapers: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && scrapers > 0) {
    await Promise.all(Array.from({ length: scrapers }, () => scrape(port)));
    await sleep(SCRAPE_EVERY_MS, undefined, { signal }).catch(() => {});
  }
}

/** Returns the CPU time of a scrape while nothing else happens, in ms. */
async function cpuTimePerScrape({ ask, port }: Pick<Child, 'ask'> & { port: number }): Promise<number> {
  const before = await ask<Usage>('usage');
  for (let i = 0; i < SCRAPES; i += 1) await scrape(port);
  return ((await ask<Usage>('usage')).cpuMs - before.cpuMs) / SCRAPES;
}

async function scrape(port: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  if (!response.ok) throw new Error(`GET /metrics: ${response.status}`);
  await response.text();
}
