// Between a CRM and Outtray: mails an invoice when the CRM says that there is one, and hears what became of the mail.
// Needs Node 20 or newer, and nothing else. README.md, beside this, says how to try it.
//
//   POST /crm-events      what the CRM calls, with the header "Authorization: Bearer <CRM_SECRET>"
//   POST /outtray-events  what Outtray calls, by its WEBHOOK_URL, signed with WEBHOOK_SECRET
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const { PORT = '3001', OUTTRAY_URL = 'http://127.0.0.1:3000' } = process.env;
const OUTTRAY_KEY = required('OUTTRAY_KEY');
const CRM_SECRET = required('CRM_SECRET');
const WEBHOOK_SECRET = required('WEBHOOK_SECRET');

const MAX_BODY_BYTES = 1024 * 1024;
const OUTTRAY_TIMEOUT_MS = 10_000;
/** What Standard Webhooks advises: an older call may be one that somebody recorded and plays again. */
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
    // Comes back with every event of this message, and is not in the mail.
    metadata: { crm_id: String(invoice.number) },
  });
  if (answer.id) {
    console.log(`invoice ${invoice.number}: taken as ${answer.id}`);
    return { status: 202, body: { message_id: answer.id } };
  }
  const { code, detail, hint, errors } = answer;
  console.error(`invoice ${invoice.number}: ${code}: ${detail} ${hint}`);
  // By 503 the CRM knows that it shall come again, by 422 that this event will never do. A wrong key here is not its fault.
  const again = answer.retryable !== false || answer.status === 401;
  return { status: again ? 503 : 422, body: { code, detail, hint, errors } };
}

/** Answers with the message, or with the problem. */
async function send(eventId, message) {
  try {
    const response = await fetch(`${OUTTRAY_URL}/send`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${OUTTRAY_KEY}`,
        'content-type': 'application/json',
        // The CRM repeats an event until it has its answer. With the same key, the repeated one sends nothing.
        'idempotency-key': encodeURIComponent(eventId),
      },
      body: JSON.stringify(message),
      signal: AbortSignal.timeout(OUTTRAY_TIMEOUT_MS),
    });
    return await response.json();
  } catch (error) {
    // It may have been taken all the same: the same event again, with the same key, finds out.
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

/** What became of a message, as {"type": "message.sent", "sequence": 3, "data": {…}}; or of the account. */
async function takeOuttrayEvent(request) {
  const body = await readBody(request);
  if (!isFromOuttray(request.headers, body))
    return { status: 401, body: { error: 'The signature is not right, or too old.' } };
  const { type, sequence, data } = JSON.parse(body);
  if (type.startsWith('message.')) {
    // Events may come twice, and an earlier one after a later one.
    if (sequence <= latest.get(data.id)) return { status: 204 };
    latest.set(data.id, sequence);
    const invoice = data.metadata.crm_id ? `invoice ${data.metadata.crm_id}` : 'no invoice';
    console.log(`${invoice}: ${data.id} is ${data.status}${why(data.error)}`);
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
  // One signature for each secret that Outtray has: two while the secret is being changed.
  return isFresh && signatures.split(' ').some((signature) => isEqual(signature, `v1,${expected}`));
}

function isFromCrm({ authorization = '' }) {
  return isEqual(authorization, `Bearer ${CRM_SECRET}`);
}

/** Takes as long for a guess that is nearly right as for any other. */
function isEqual(given, expected) {
  const digest = (text) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** The bytes as they came: a signature is over them, not over what they mean. */
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

/** An empty secret would be known to everybody. */
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
