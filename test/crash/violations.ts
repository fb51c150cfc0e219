import { isSettled, STATUSES, type Status } from '../../src/core/delivery/delivery.ts';
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import type { MessageResource } from '../../src/http/schemas/message.ts';

/**
 * One message that a client requested under a unique label, once or repeatedly with its
 * Idempotency-Key.
 */
export interface ClientRequest {
  readonly label: string;
  /** Every id that an acknowledgment named. */
  readonly ids: ReadonlySet<string>;
  /** Whether a response confirmed its cancellation. */
  readonly canceled: boolean;
}

/** A message as Gmail accepted it. */
export interface Copy {
  readonly label: string;
  readonly messageId: string;
  readonly raw: string;
}

/** An event of a message, as a call to the webhook endpoint reported it. */
export interface ReportedEvent {
  readonly eventId: string;
  readonly type: string;
  readonly sequence: number;
  /** Id of the message. */
  readonly message: string;
}

/** An event of the account, as a call to the webhook endpoint reported it. */
export interface AccountEvent {
  readonly eventId: string;
  readonly type: string;
  /** When it happened, in ISO 8601. */
  readonly timestamp: string;
  /** Why the account is paused. Null if it was resumed. */
  readonly code: ErrorCode | null;
}

export type Shown = Pick<
  MessageResource,
  'id' | 'status' | 'message_id' | 'subject' | 'possible_duplicate' | 'attempts'
>;

/** The state that is visible once every message is settled. Labels are subjects. */
export interface Evidence {
  readonly asked: readonly ClientRequest[];
  /** The response to GET /messages/{id} for each acknowledged id, without unknown ids. */
  readonly found: ReadonlyMap<string, Shown>;
  /** Every message that GET /messages lists. */
  readonly listed: readonly Shown[];
  readonly copies: readonly Copy[];
  /** Every accepted call to the webhook endpoint. */
  readonly reported: readonly ReportedEvent[];
  readonly accountEvents: readonly AccountEvent[];
  /** Whether the account is paused. */
  readonly isPaused: boolean;
}

export type Tally = Record<Status | 'missing', number>;

/** Counts acknowledged messages by status, and those that are missing. */
export function tallyOf({ asked, found }: Evidence): Tally {
  const tally = Object.fromEntries([...STATUSES, 'missing'].map((status) => [status, 0])) as Tally;
  for (const id of acknowledged(asked)) tally[found.get(id)?.status ?? 'missing'] += 1;
  return tally;
}

/**
 * Describes everything that breaks one of the promises 1 to 4, and events that are missing or have
 * two ids.
 */
export function findViolations(evidence: Evidence): string[] {
  const { asked, found, listed, copies, reported } = evidence;
  const reportedOf = Map.groupBy(reported, ({ message }) => message);
  const copiesOf = Map.groupBy(copies, ({ messageId }) => messageId);
  const seen = new Map([...listed.map((message) => [message.id, message] as const), ...found]);
  return [
    ...[...acknowledged(asked)]
      .filter((id) => !found.has(id))
      .map((id) => `${id} was acknowledged and is missing`),
    ...unlisted(evidence).map((id) => `${id} was acknowledged and is not listed`),
    ...[...seen.values()].flatMap((message) => checkMessage(message, copiesOf.get(message.message_id) ?? [])),
    ...[...seen.values()].flatMap((message) => checkEvents(message, reportedOf.get(message.id) ?? [])),
    ...checkAccountEvents(evidence),
    ...asked.flatMap((one) => checkRequest(one, evidence)),
    ...unknownCopies(evidence, seen).map((label) => `Gmail has ${label}, and the service does not know it`),
    ...unrequested(evidence).map((label) => `${label} was sent, and no client requested it`),
  ];
}

/**
 * Whether Gmail may have accepted the message: the connection broke after it, or the process died
 * during the attempt.
 */
export function isUncertain({ error }: Shown['attempts'][number]): boolean {
  return error?.hint === ERRORS.delivery_uncertain.hint;
}

function acknowledged(asked: readonly ClientRequest[]): Set<string> {
  return new Set(asked.flatMap(({ ids }) => [...ids]));
}

function unlisted({ found, listed }: Evidence): string[] {
  const ids = new Set(listed.map(({ id }) => id));
  return [...found.keys()].filter((id) => !ids.has(id));
}

/** Compares the status and attempts of a message with its copies. */
function checkMessage(message: Shown, copies: readonly Copy[]): string[] {
  const { id, status, attempts, possible_duplicate } = message;
  const wrong: string[] = [];
  const uncertain = attempts.filter(isUncertain).length;
  const answered = attempts.filter(({ ended_at, error }) => ended_at !== null && error === null).length;
  if (!STATUSES.includes(status)) wrong.push(`${id} has the unknown status ${status}`);
  else if (!isSettled(status)) wrong.push(`${id} is still ${status}`);
  if (status === 'sent' && answered === 0) wrong.push(`${id} is sent without a successful attempt`);
  if (answered > 0 && copies.length === 0) wrong.push(`${id} is ${status}, but Gmail has no copy`);
  if (copies.length > answered + uncertain) {
    wrong.push(
      `${id} is ${status}, but has ${copies.length} copies from ${answered} answered and ${uncertain} uncertain attempts`,
    );
  }
  if (copies.length > 1 && !possible_duplicate)
    wrong.push(`${id} has ${copies.length} copies without possible_duplicate`);
  if (new Set(copies.map(({ raw }) => raw)).size > 1) wrong.push(`${id} has different copies`);
  return wrong;
}

/**
 * Checks that the endpoint received the settlement, under one event id, and of each other change
 * under one id, too.
 */
function checkEvents({ id, status }: Shown, reported: readonly ReportedEvent[]): string[] {
  const wrong: string[] = [];
  if (isSettled(status) && !reported.some(({ type }) => type === `message.${status}`))
    wrong.push(`${id} is ${status}, and no webhook reported it`);
  for (const [sequence, calls] of Map.groupBy(reported, (one) => one.sequence)) {
    const events = new Set(calls.map(({ eventId, type }) => `${type} ${eventId}`));
    if (events.size > 1) wrong.push(`${id} has ${events.size} events with the sequence ${sequence}`);
  }
  const settlements = new Set(
    reported.filter(({ type }) => type !== 'message.deferred').map(({ eventId }) => eventId),
  );
  if (settlements.size > 1) wrong.push(`${id} was settled once, by ${settlements.size} events`);
  return wrong;
}

/**
 * Checks that each pause and resumption of the account has exactly one event. An account that is
 * paused for another reason, or at another instance, has two pauses in a row. One resumption may end
 * both.
 */
function checkAccountEvents({ accountEvents, isPaused }: Evidence): string[] {
  const events = [...new Map(accountEvents.map((event) => [event.eventId, event])).values()];
  const sorted = events.toSorted((a, b) => Date.parse(a.timestamp) - Date.parse(b.timestamp));
  const wrong: string[] = [];
  let pauses = 0;
  let reason: ErrorCode | null = null;
  for (const { type, code } of sorted) {
    pauses += type === 'account.paused' ? 1 : -1;
    if (pauses < 0) wrong.push('the account was resumed more often than it was paused');
    // An instance that reaches no server is paused for itself, and so may another one be.
    const isOfAccount = code !== null && ERRORS[code].scope === 'account';
    if (isOfAccount && code === reason) wrong.push(`the account was paused twice for ${code}`);
    if (isOfAccount || type === 'account.resumed') reason = code;
  }
  const last = isPaused ? 'account.paused' : 'account.resumed';
  const found = sorted.at(-1)?.type ?? null;
  if ((found ?? 'account.resumed') !== last)
    wrong.push(`the last event of the account is ${found ?? 'missing'}, not ${last}`);
  return wrong;
}

/** Checks that a request created one message at most, and that its responses are true. */
function checkRequest(
  { label, ids, canceled }: ClientRequest,
  { found, listed, copies }: Evidence,
): string[] {
  const wrong: string[] = [];
  const made = new Set(listed.filter(({ subject }) => subject === label).map(({ id }) => id)).union(ids);
  const sent = new Set(copies.filter((copy) => copy.label === label).map(({ messageId }) => messageId));
  if (ids.size > 1) wrong.push(`${label} was acknowledged as ${[...ids].join(' and ')}`);
  if (made.size > 1) wrong.push(`${label} became ${made.size} messages: ${[...made].join(', ')}`);
  if (sent.size > 1) wrong.push(`${label} was sent under ${sent.size} Message-IDs: ${[...sent].join(', ')}`);
  const statuses = [...ids].flatMap((id) => found.get(id)?.status ?? []);
  if (canceled)
    wrong.push(
      ...statuses
        .filter((status) => status !== 'canceled')
        .map((status) => `${label} was canceled and is ${status}`),
    );
  return wrong;
}

function unknownCopies({ copies }: Evidence, seen: ReadonlyMap<string, Shown>): string[] {
  const known = new Set([...seen.values()].map(({ message_id }) => message_id));
  return copies
    .filter(({ messageId }) => !known.has(messageId))
    .map(({ label, messageId }) => `${label} (${messageId})`);
}

function unrequested({ asked, listed, copies }: Evidence): string[] {
  const labels = new Set(asked.map(({ label }) => label));
  return [...listed.map(({ subject }) => subject), ...copies.map(({ label }) => label)].filter(
    (label) => !labels.has(label),
  );
}
