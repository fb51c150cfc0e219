import type { Delivery } from '../../core/delivery/delivery.ts';
import { decodeContent, decodeRecord } from '../../core/delivery/delivery-codec.ts';

/** Decodes the fields of a delivery. Null if there is none. */
export function decodeStored(
  record: Buffer | null | undefined,
  content: Buffer | null | undefined,
): Delivery | null {
  return record ? decodeRecord(record.toString(), content?.length ? decodeContent(content) : null) : null;
}
