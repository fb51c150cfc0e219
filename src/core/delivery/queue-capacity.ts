import { AppError } from '../errors.ts';

/** The unsettled deliveries: their number, and the bytes they occupy. */
export interface QueueUsage {
  readonly messages: number;
  readonly bytes: number;
}

/** Maxima of a {@link QueueUsage}: QUEUE_MAX_MESSAGES and QUEUE_MAX_BYTES. */
export interface QueueLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** Whether no delivery fits any more, however small. */
export function isQueueFull(
  { messages, bytes }: QueueUsage,
  { maxMessages, maxBytes }: QueueLimits,
): boolean {
  return messages >= maxMessages || bytes >= maxBytes;
}

/** @throws {AppError} `queue_full` if a delivery of this many bytes does not fit */
export function checkQueueCapacity(usage: QueueUsage, limits: QueueLimits, bytes: number): void {
  if (usage.messages >= limits.maxMessages || usage.bytes + bytes > limits.maxBytes)
    throw queueFull(usage, limits);
}

/** The error for a delivery that does not fit. */
export function queueFull({ messages, bytes }: QueueUsage, { maxMessages, maxBytes }: QueueLimits): AppError {
  const detail =
    messages >= maxMessages
      ? `It holds ${messages} messages; QUEUE_MAX_MESSAGES allows ${maxMessages}.`
      : `It holds ${bytes} bytes; QUEUE_MAX_BYTES allows ${maxBytes}.`;
  return new AppError('queue_full', { detail });
}
