import { availableBackings, type BackingName } from './parts/backing.ts';
import { KEY, MESSAGE, ROUNDS, startOn, startSink } from './processes.ts';
import { atMost, duration, median, type Report, type Row } from './report.ts';

const SIZE = 10_000_000;
const fill = (piece: string) => piece.repeat(Math.ceil(SIZE / Buffer.byteLength(piece)));

/** Texts of 10 MB, and html that nests deeply, each with a name. */
const SHAPES: Readonly<Record<string, object>> = {
  prose: { text: fill('All work and no play makes Jack a dull boy, and Jill a rich widow.\n') },
  'one line': { text: fill('x') },
  'line ends': { text: fill('\n') },
  'lines of a dot': { text: fill('.\n') },
  quotes: { text: fill('"') },
  'equals signs': { text: fill('=') },
  'non-ASCII': { text: fill('Größe und Maß, ') },
  emoji: { text: fill('📬') },
  html: { html: fill('<p>All work and no play makes Jack a <b>dull</b> boy.</p>\n') },
  'nested html of 100 KB': { html: '<div>'.repeat(9000) + '</div>'.repeat(9000) },
};

/**
 * Longest pause of the event loop while one large message is received over HTTP, stored, composed
 * and sent.
 */
export async function worstPauses(): Promise<Report> {
  const rows: Row[] = [];
  for (const name of availableBackings())
    rows.push(toRow(`worst pause of the event loop for one 10 MB text on ${name}`, await measure(name)));
  return { rows };
}

function toRow(what: string, pauses: ReadonlyMap<string, number>): Row {
  const sorted = [...pauses].toSorted(([, a], [, b]) => b - a);
  const shown = sorted.slice(0, 3).map(([shape, ms]) => `${duration(ms)} (${shape})`);
  const [, worst = Number.NaN] = sorted[0] ?? [];
  return atMost(what, shown.join(', '), worst, 50);
}

/** Median of the longest pauses for each shape, in ms. */
async function measure(name: BackingName): Promise<Map<string, number>> {
  await using stack = new AsyncDisposableStack();
  const sink = stack.use(await startSink());
  const outtray = await startOn(name, sink, stack);
  const send = async (part: object) => {
    await outtray.ask('watchLoop');
    await sendAndWait(outtray.port, { ...MESSAGE, text: undefined, ...part });
    return outtray.ask<number>('worstPause');
  };
  const pauses = new Map<string, number>();
  for (const [shape, part] of Object.entries(SHAPES)) {
    const times: number[] = [];
    // The first message compiles the code.
    for (let round = 0; round < ROUNDS + 1; round += 1) times.push(await send(part));
    pauses.set(shape, median(times.slice(1)));
  }
  return pauses;
}

/** Sends a message and waits until the service has recorded that it is sent. */
async function sendAndWait(port: number, message: object): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/send`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', prefer: 'wait=60' },
    body: JSON.stringify(message),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`not sent: ${response.status} ${text.slice(0, 500)}`);
}
