import type { Delivery } from '../../core/delivery/delivery.ts';
import { createOldestEntry } from '../../core/oldest-entry.ts';

const MAX_BYTES = 8 * 1024 * 1024;
/** Larger deliveries are few, and reading one costs little beside sending it. */
const MAX_DELIVERY_BYTES = 64 * 1024;

/** The newest deliveries as they were inserted, within a bound of memory. */
export interface RecentDeliveries {
  get(id: string): Delivery | null;
  add(delivery: Delivery): void;
  remove(id: string): void;
}

export function createRecentDeliveries(): RecentDeliveries {
  const recent = new Map<string, Delivery>();
  const oldest = createOldestEntry(recent);
  let bytes = 0;

  function remove(id: string) {
    bytes -= recent.get(id)?.bytes ?? 0;
    recent.delete(id);
  }

  return {
    get: (id) => recent.get(id) ?? null,
    add(delivery) {
      if (delivery.bytes > MAX_DELIVERY_BYTES) return;
      recent.set(delivery.id, delivery);
      bytes += delivery.bytes;
      for (let first = oldest(); first && bytes > MAX_BYTES; first = oldest()) remove(first[0]);
    },
    remove,
  };
}
