import { type Delivery, type DeliveryPatch, firstDueAt, hasBounced } from '../../core/delivery/delivery.ts';
import {
  decodeContent,
  decodeRecord,
  encodeContent,
  encodeRecord,
} from '../../core/delivery/delivery-codec.ts';
import { channelOf } from '../../core/delivery/lookup.ts';
import { signatureOf, toNumber } from '../../core/delivery/signature.ts';
import type { FixedColumns, MutableColumns, StoredDelivery } from './worker/deliveries.ts';

/**
 * Length to which a state is padded with blanks. A message to a few recipients needs no more, so its
 * row keeps its size: a row that grows moves others to other pages.
 */
const STATE_LENGTH = 640;

/** Decodes a stored delivery: its record, and the state that replaces fields of it. */
export function decodeDelivery([record, state, content]: StoredDelivery): Delivery {
  return { ...decodeRecord(record, content && decodeContent(content)), ...JSON.parse(state) };
}

/** Returns the arguments of `insertDelivery`. */
export function toInsert(
  delivery: Delivery,
  fileNow: number,
): [FixedColumns, MutableColumns, string, Uint8Array | null] {
  const { id, owner, priority, createdAt, bytes, content } = delivery;
  return [
    { id, owner, priority, createdAt, bytes, signature: toNumber(signatureOf(delivery)) },
    toMutableColumns(delivery, fileNow, '{}'),
    encodeRecord(delivery),
    content && ownBytes(encodeContent(content)),
  ];
}

/** Returns the columns that a change replaces. */
export function toMutableColumns(
  delivery: Delivery,
  fileNow: number,
  state = JSON.stringify(stateOf(delivery)),
): MutableColumns {
  const { revision, status, finishedAt } = delivery;
  return {
    revision,
    status,
    channel: channelOf(delivery),
    dueAt: toDueAt(delivery, fileNow),
    bounced: hasBounced(delivery),
    state: state.padEnd(STATE_LENGTH),
    firstDueAt: firstDueAt(delivery),
    finishedAt,
  };
}

type State = Pick<Delivery, 'revision' | 'status'> &
  Required<Omit<DeliveryPatch, 'lookup' | 'followUps'>> &
  Pick<DeliveryPatch, 'lookup' | 'followUps'>;

/** The fields that `advance` and `amend` change, apart from the content. Few have the last two. */
function stateOf(delivery: Delivery): State {
  const { lookup, followUps } = delivery;
  return {
    revision: delivery.revision,
    status: delivery.status,
    account: delivery.account,
    scheduledAt: delivery.scheduledAt,
    expiresAt: delivery.expiresAt,
    nextAttemptAt: delivery.nextAttemptAt,
    finishedAt: delivery.finishedAt,
    recipients: delivery.recipients,
    attempts: delivery.attempts,
    error: delivery.error,
    possibleDuplicate: delivery.possibleDuplicate,
    perAttempt: delivery.perAttempt,
    retriedForMs: delivery.retriedForMs,
    ...(lookup && { lookup }),
    ...(followUps.length > 0 && { followUps }),
  };
}

/** Returns the bytes in memory of their own, which can be moved to the thread. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  const isOwn = bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength;
  // A small Buffer shares its memory with others.
  return isOwn ? bytes : new Uint8Array(bytes);
}

/**
 * When a delivery is due after a restart. Null: at once. Positive: epoch ms by the wall clock, for
 * a time that the client has set. Negative: epoch ms by the clock of the file, for a back-off.
 */
function toDueAt(
  { status, scheduledAt, nextAttemptAt, expiresAt }: Delivery,
  fileNow: number,
): number | null {
  if (status === 'scheduled') return scheduledAt === null ? null : Math.ceil(scheduledAt);
  if (nextAttemptAt === null) return null;
  if (expiresAt !== null && expiresAt <= nextAttemptAt) return Math.ceil(expiresAt);
  return -Math.ceil(fileNow + nextAttemptAt - Date.now());
}

/** Converts a stored due time into a delay from now, in ms. */
export function toDelay(dueAt: number | null, fileNow: number): number {
  if (dueAt === null) return 0;
  return Math.max(0, dueAt < 0 ? -dueAt - fileNow : dueAt - Date.now());
}
