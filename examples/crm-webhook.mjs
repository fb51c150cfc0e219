// Connects a CRM to Outtray: sends an invoice by email when the CRM reports one, and receives the outcome.
// Needs Node 20 or newer, and nothing else. README.md in this folder shows how to try it.
//
//   POST /crm-events      called by the CRM, with the header "Authorization: Bearer <CRM_SECRET>"
//   POST /outtray-events  called by Outtray (WEBHOOK_URL), signed with WEBHOOK_SECRET
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const { PORT = '3001', OUTTRAY_URL = 'http://127.0.0.1:3000' } = process.env;
const OUTTRAY_KEY = required('OUTTRAY_KEY');
const CRM_SECRET = required('CRM_SECRET');
const WEBHOOK_SECRET = required('WEBHOOK_SECRET');

const MAX_BODY_BYTES = 1024 * 1024;
const OUTTRAY_TIMEOUT_MS = 10_000;
/** As Standard Webhooks recommends: an older call may be a replay of a recorded one. */
const TOLERANCE_SECONDS = 5 * 60;

/** An event of the CRM, as in {"event_id": "evt-1", "type": "invoice.created", "contact": {…}, "invoice": {…}}. */
async function takeCrmEvent(request) {
  if (!isFromCrm(request.headers))
    return { status: 401, body: { error: 'Authorization is not "Bearer <CRM_SECRET>".' } };
  const { event_id, type, contact, invoice } = JSON.parse(await readBody(request));
  if (type !== 'invoice.created') return { status: 204 };
  if (!(event_id && contact && invoice))
    return { status: 422, body: { error: 'It needs an event_id, a contact and an invoice.' } };

  const answer = await send(event_id, {
    to: { email: contact.email, name: contact.name },
    template: { id: 'invoice', variables: { company: 'Acme', customer: contact, ...invoice } },
    tags: { flow: 'invoice' },
    // Returned with every event of this message, and not part of the message itself.
    metadata: { crm_id: String(invoice.number) },
  });
  if (answer.id) {
    console.log(`invoice ${invoice.number}: taken as ${answer.id}`);
    return { status: 202, body: { message_id: answer.id } };
  }
  const { code, detail, hint, errors } = answer;
  console.error(`invoice ${invoice.number}: ${code}: ${detail} ${hint}`);
  // 503 asks the CRM to repeat the event; 422 rejects it for good. A wrong key of this program is not the CRM's fault.
  const again = answer.retryable !== false || answer.status === 401;
  return { status: again ? 503 : 422, body: { code, detail, hint, errors } };
}

/** Returns the message, or the problem document. */
async function send(eventId, message) {
  try {
    const response = await fetch(`${OUTTRAY_URL}/send`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${OUTTRAY_KEY}`,
        'content-type': 'application/json',
        // The CRM repeats an event until it gets a response. With the same key, repeating sends nothing.
        'idempotency-key': encodeURIComponent(eventId),
      },
      body: JSON.stringify(message),
      signal: AbortSignal.timeout(OUTTRAY_TIMEOUT_MS),
    });
    return await response.json();
  } catch (error) {
    // The message may have been accepted. Repeating the event with the same key finds out.
    return {
      code: 'outtray_unreachable',
      detail: error.message,
      hint: 'Send the event again.',
      retryable: true,
    };
  }
}

/** The latest event of each message. A CRM has this in its database, with the invoice. */
const latest = new Map();

/** The outcome of a message, as {"type": "message.sent", "sequence": 3, "data": {…}}; or of an account. */
async function takeOuttrayEvent(request) {
  const body = await readBody(request);
  if (!isFromOuttray(request.headers, body))
    return { status: 401, body: { error: 'The signature is not right, or too old.' } };
  const { type, sequence, data } = JSON.parse(body);
  if (type.startsWith('message.')) {
    // Events can arrive twice and out of order.
    if (sequence <= latest.get(data.id)) return { status: 204 };
    latest.set(data.id, sequence);
    const invoice = data.metadata.crm_id ? `invoice ${data.metadata.crm_id}` : 'no invoice';
    const outcome = data.bounced ? 'bounced' : data.status;
    console.log(`${invoice}: ${data.id} is ${outcome}${why(data.error)}`);
  } else {
    console.log(`${type}: ${data.user}${why(data)}`);
  }
  return { status: 204 };
}

function why(failure) {
  return failure?.code ? `: ${failure.code}: ${failure.hint}` : '';
}

/** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme */
function isFromOuttray(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures = '' } = headers;
  const isFresh = Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE_SECONDS;
  const secret = Buffer.from(WEBHOOK_SECRET.replace(/^whsec_/, ''), 'base64');
  const expected = createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest('base64');
  // One signature per secret of Outtray: two during a rotation.
  return isFresh && signatures.split(' ').some((signature) => isEqual(signature, `v1,${expected}`));
}

function isFromCrm({ authorization = '' }) {
  return isEqual(authorization, `Bearer ${CRM_SECRET}`);
}

/** Compares in constant time. */
function isEqual(given, expected) {
  const digest = (text) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** Returns the bytes as received, because the signature covers them and not the parsed JSON. */
async function readBody(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error(`The body has more than ${MAX_BODY_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Refuses an empty secret too, because it protects nothing. */
function required(name) {
  const value = process.env[name];
  if (value) return value;
  console.error(`${name} is not set.`);
  process.exit(2);
}

const routes = { 'POST /crm-events': takeCrmEvent, 'POST /outtray-events': takeOuttrayEvent };

const server = createServer(async (request, response) => {
  const take = routes[`${request.method} ${request.url}`] ?? (async () => ({ status: 404 }));
  const { status, body } = await take(request).catch((error) => ({
    status: 400,
    body: { error: error.message },
  }));
  response.writeHead(status, { 'content-type': 'application/json' }).end(body && JSON.stringify(body));
});
server.listen(Number(PORT), '127.0.0.1', () =>
  console.log(`http://127.0.0.1:${server.address().port} takes events`),
);
