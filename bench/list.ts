import { pino } from 'pino';
import { parseQueueUrl } from '../src/config/queue-url.ts';
import type { Delivery, Recipient, Status } from '../src/core/delivery/delivery.ts';
import { ANY_DELIVERY, type DeliveryQuery } from '../src/core/delivery/delivery-query.ts';
import type { DeliveryStore } from '../src/core/ports/delivery-store.ts';
import { DAY, SECOND } from '../src/core/time.ts';
import { openBackend } from '../src/service/backend.ts';
import { availableBackings, BACKINGS, type BackingName } from './parts/backing.ts';
import { atMost, duration, median, type Report, type Row } from './report.ts';

const COUNT = 100_000;
const AT_ONCE = 500;
const ROUNDS = 15;
const AIM_MS = 20;
const ALL: DeliveryQuery = { ...ANY_DELIVERY, limit: 100, after: null };

/** Pages of the list and the statistics, as GET /messages and GET /stats read them. */
export async function listTimes(): Promise<Report> {
  const rows: Row[] = [];
  for (const name of availableBackings()) rows.push(...(await measure(name)));
  return { rows };
}

async function measure(name: BackingName): Promise<Row[]> {
  await using backing = await BACKINGS[name]();
  const queue = { url: parseQueueUrl(backing.url), maxMessages: 2 * COUNT, maxBytes: 4e9 };
  const { backend } = await openBackend(
    { queue, retainMs: DAY, retainContentMs: 0 },
    pino({ level: 'silent' }),
  );
  try {
    const { store } = backend;
    const since = Date.now() - COUNT * SECOND;
    await fill(store, since);
    const middle = { createdAt: since + (COUNT / 2) * SECOND, id: '' };
    const list = (query: Partial<DeliveryQuery>) => () => store.list({ ...ALL, ...query });
    const reads: Readonly<Record<string, () => Promise<unknown>>> = {
      'a page of messages': list({ after: middle }),
      'a page of what waits, oldest first': list({ waitingAt: Date.now() }),
      'a page by a recipient of one message': list({ recipient: 'user1@example.com' }),
      'a page by a tag of one message': list({ tag: 'flow:rare' }),
      'a page by a key with one message': list({ owner: 'rare' }),
      'a page by a status of one message': list({ statuses: ['uncertain'] }),
      'a page by the bounce of one message': list({ bounced: true }),
      statistics: () => store.stats(null, Date.now()),
    };
    const rows: Row[] = [];
    for (const [what, read] of Object.entries(reads)) {
      const ms = median(await timesOf(read));
      rows.push(atMost(`${what} on ${name}, of 100,000`, duration(ms), ms, AIM_MS));
    }
    return rows;
  } finally {
    await backend.close();
  }
}

async function timesOf(read: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const startedAt = performance.now();
    await read();
    times.push(performance.now() - startedAt);
  }
  return times;
}

/** Stores messages, of which every tenth waits. The first one alone has some properties. */
async function fill(store: DeliveryStore, since: number): Promise<void> {
  for (let first = 0; first < COUNT; first += AT_ONCE) {
    const deliveries = Array.from({ length: AT_ONCE }, (_, i) => aDelivery(first + i, since));
    await Promise.all(deliveries.map((delivery) => store.insert(delivery)));
    await Promise.all(
      deliveries.map((delivery, i) => {
        const status: Status = first + i === 1 ? 'uncertain' : 'sent';
        const recipients = first + i === 1 ? delivery.recipients.map(toBounced) : delivery.recipients;
        const patch = { revision: 2, status, recipients, content: null, finishedAt: Date.now() };
        const settled = { ...delivery, ...patch };
        return (first + i) % 10 === 0 || store.update(delivery, settled, { kind: 'done' });
      }),
    );
  }
}

function toBounced({ email }: Recipient): Recipient {
  return { email, status: 'bounced', smtp: null };
}

function aDelivery(i: number, since: number): Delivery {
  const email = `user${i}@example.com`;
  const id = `msg_${String(i).padStart(26, '0')}`;
  const envelope = {
    from: { email: 'bot@acme.com', name: null },
    to: [{ email, name: null }],
    cc: [],
    bcc: [],
    subject: 'Your invoice',
  };
  const text = 'x'.repeat(500);
  return {
    id,
    revision: 1,
    owner: i === 1 ? 'rare' : 'crm',
    requestId: 'req_1',
    trace: null,
    test: false,
    status: 'queued',
    account: 'bot@acme.com',
    messageId: `<${id}@acme.com>`,
    envelope,
    replyTo: [],
    template: null,
    attachments: [],
    warnings: [],
    content: {
      replyTo: [],
      html: null,
      text,
      attachments: [],
      calendar: null,
      headers: {},
      inReplyTo: null,
      references: [],
      unsubscribe: null,
    },
    tags: { flow: i === 1 ? 'rare' : 'invoice' },
    metadata: { order: String(i) },
    priority: 'normal',
    bytes: 2000,
    createdAt: since + i * SECOND,
    scheduledAt: null,
    expiresAt: null,
    nextAttemptAt: null,
    finishedAt: null,
    recipients: [{ email, status: 'pending', smtp: null }],
    attempts: [],
    error: null,
    possibleDuplicate: false,
    perAttempt: null,
    retriedForMs: 0,
    followUps: [],
    lookup: null,
  };
}
