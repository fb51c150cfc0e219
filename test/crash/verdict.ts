import { isSettled, STATUSES, type Status } from '../../src/core/delivery/delivery.ts';
import { ERRORS } from '../../src/core/errors.ts';
import type { MessageResource } from '../../src/http/schemas/message.ts';

/** One message that a client asked for, under a label of its own: by one request, or by one that it repeated with its key. */
export interface Asked {
  readonly label: string;
  /** All ids it was acknowledged with. */
  readonly ids: ReadonlySet<string>;
  /** Whether it was told that the message is canceled. */
  readonly canceled: boolean;
}

/** A message as Gmail took it. */
export interface Copy {
  readonly label: string;
  readonly messageId: string;
  readonly raw: string;
}

export type Shown = Pick<
  MessageResource,
  'id' | 'status' | 'message_id' | 'subject' | 'possible_duplicate' | 'attempts'
>;

/** What is to be seen when all has come to rest. Labels are subjects. */
export interface Evidence {
  readonly asked: readonly Asked[];
  /** What GET /messages/{id} says of each id that was acknowledged; those it does not know are not among them. */
  readonly found: ReadonlyMap<string, Shown>;
  /** All that GET /messages lists. */
  readonly listed: readonly Shown[];
  readonly copies: readonly Copy[];
}

export type Tally = Record<Status | 'missing', number>;

/** The equation: what has become of what was acknowledged. */
export function tallyOf({ asked, found }: Evidence): Tally {
  const tally = Object.fromEntries([...STATUSES, 'missing'].map((status) => [status, 0])) as Tally;
  for (const id of acknowledged(asked)) tally[found.get(id)?.status ?? 'missing'] += 1;
  return tally;
}

/** Whatever breaks one of the promises 1 to 4, in words. */
export function findViolations(evidence: Evidence): string[] {
  const { asked, found, listed, copies } = evidence;
  const copiesOf = Map.groupBy(copies, ({ messageId }) => messageId);
  const seen = new Map([...listed.map((message) => [message.id, message] as const), ...found]);
  return [
    ...[...acknowledged(asked)]
      .filter((id) => !found.has(id))
      .map((id) => `${id} was acknowledged and is missing`),
    ...unlisted(evidence).map((id) => `${id} was acknowledged and is not listed`),
    ...[...seen.values()].flatMap((message) => judge(message, copiesOf.get(message.message_id) ?? [])),
    ...asked.flatMap((one) => judgeRequest(one, evidence)),
    ...strangers(evidence, seen).map((label) => `Gmail has ${label}, and the service knows nothing of it`),
    ...impossible(evidence).map((label) => `${label} was sent, and nobody asked for it`),
  ];
}

/** Whether nobody can know if Gmail took it: the connection broke after the message, or the process died in the middle. */
export function isUncertain({ error }: Shown['attempts'][number]): boolean {
  return error?.hint === ERRORS.delivery_uncertain.hint;
}

function acknowledged(asked: readonly Asked[]): Set<string> {
  return new Set(asked.flatMap(({ ids }) => [...ids]));
}

function unlisted({ found, listed }: Evidence): string[] {
  const ids = new Set(listed.map(({ id }) => id));
  return [...found.keys()].filter((id) => !ids.has(id));
}

/** What its attempts and its status say of the copies there are. */
function judge(message: Shown, copies: readonly Copy[]): string[] {
  const { id, status, attempts, possible_duplicate } = message;
  const wrong: string[] = [];
  const uncertain = attempts.filter(isUncertain).length;
  const answered = attempts.filter(({ ended_at, error }) => ended_at !== null && error === null).length;
  if (!STATUSES.includes(status)) wrong.push(`${id} is ${status}, which is no status`);
  else if (!isSettled(status)) wrong.push(`${id} is still ${status}`);
  if (status === 'sent' && answered === 0) wrong.push(`${id} is sent by no attempt`);
  if (answered > 0 && copies.length === 0) wrong.push(`${id} is ${status}, and Gmail has no copy`);
  if (copies.length > answered + uncertain) {
    wrong.push(
      `${id} is ${status}, and has ${copies.length} copies by ${answered} answered and ${uncertain} uncertain attempts`,
    );
  }
  if (copies.length > 1 && !possible_duplicate)
    wrong.push(`${id} has ${copies.length} copies and does not say possible_duplicate`);
  if (new Set(copies.map(({ raw }) => raw)).size > 1) wrong.push(`${id} has copies that differ`);
  return wrong;
}

/** One request is one message at most, whatever was repeated; and what a client was told holds. */
function judgeRequest({ label, ids, canceled }: Asked, { found, listed, copies }: Evidence): string[] {
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

function strangers({ copies }: Evidence, seen: ReadonlyMap<string, Shown>): string[] {
  const known = new Set([...seen.values()].map(({ message_id }) => message_id));
  return copies
    .filter(({ messageId }) => !known.has(messageId))
    .map(({ label, messageId }) => `${label} (${messageId})`);
}

function impossible({ asked, listed, copies }: Evidence): string[] {
  const labels = new Set(asked.map(({ label }) => label));
  return [...listed.map(({ subject }) => subject), ...copies.map(({ label }) => label)].filter(
    (label) => !labels.has(label),
  );
}
