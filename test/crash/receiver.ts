import { type Endpoint, startEndpoint } from '../helpers/endpoint.ts';
import { createRandom } from './random.ts';
import type { AccountEvent, ReportedEvent } from './violations.ts';

/** Share of calls that fail, so that kills also hit waits for a retry. */
const FAILING = 0.1;

const SECRET = `whsec_${Buffer.alloc(32, 'crash').toString('base64')}`;

/** A webhook endpoint that is never killed. */
export interface Receiver extends AsyncDisposable {
  /** Variables that make the service call it. */
  readonly env: Record<string, string>;
  /** The events of messages in all calls that it accepted, repetitions included. */
  readonly reported: readonly ReportedEvent[];
  /** The same for the events of the account. */
  readonly accountEvents: readonly AccountEvent[];
}

export async function startReceiver(seed: string): Promise<Receiver> {
  const random = createRandom(`${seed} receiver`);
  const reported: ReportedEvent[] = [];
  const accountEvents: AccountEvent[] = [];
  const endpoint: Endpoint = await startEndpoint({
    answer(response, { headers, body }) {
      const fails = random() < FAILING;
      const { type, timestamp, sequence, data } = JSON.parse(body);
      const eventId = String(headers['webhook-id']);
      if (!fails && sequence === undefined) accountEvents.push({ eventId, type, timestamp, code: data.code });
      else if (!fails) reported.push({ eventId, type, sequence, message: data.id });
      response.writeHead(fails ? 503 : 204).end();
    },
  });
  return {
    env: {
      WEBHOOK_URL: `http://127.0.0.1:${endpoint.port}/hooks`,
      WEBHOOK_SECRET: SECRET,
      WEBHOOK_ALLOWED_HOSTS: '127.0.0.1',
    },
    reported,
    accountEvents,
    [Symbol.asyncDispose]: () => endpoint[Symbol.asyncDispose](),
  };
}
