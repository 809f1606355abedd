/** Reading a status webhook: one message each, named by our reference and by its UUID. */
import type { StatusItem } from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import { type Fields, isFields, parseWebhookBody, readId, readReference } from '../fields.ts';
import { nackOfStatus, readErrorCode, saidIn } from './errors.ts';

/** Batches are not documented; one that came all the same would be read. */
export const MAX_STATUSES = 1_000;

const LEVELS = { submitted: 'sent', delivered: 'delivered', read: 'read' } as const;

/** @throws RoomlineError where nothing of the call can be read */
export function readStatuses(raw: Uint8Array): readonly StatusItem[] {
  const call = parseWebhookBody(raw);
  if (!Array.isArray(call)) return [readItem(call)];
  if (call.length > MAX_STATUSES) {
    throw new RoomlineError('body_too_large', { field: 'statuses', rule: `at most ${MAX_STATUSES} items` });
  }
  return call.map(readItem);
}

function readItem(item: unknown): StatusItem {
  if (!isFields(item)) return unreadable('item_type');
  const { status } = item;
  if (status === undefined) return { kind: 'other', code: isInbound(item) ? 'inbound_message' : 'no_status' };
  const reference = readReference(item.client_ref);
  const platformId = readId(item.message_uuid);
  if (reference === null && platformId === null) return unreadable('message_unnamed');
  const named = { kind: 'status', reference, platformId, at: readAt(item.timestamp), cumulative: false } as const;
  if (status === 'rejected' || status === 'undeliverable') {
    const nack = { ...nackOfStatus(readErrorCode(item.error), status), ...saidIn(item.error) };
    return { ...named, level: null, nack };
  }
  if (typeof status !== 'string' || !Object.hasOwn(LEVELS, status)) return unreadable('status_unknown');
  return { ...named, level: LEVELS[status as keyof typeof LEVELS], nack: null };
}

/** Something that a user wrote; `message` in the older version. */
function isInbound({ message_type: type, message }: Fields): boolean {
  return type !== undefined || message !== undefined;
}

/** No time since 1973 is below this. */
const LEAST_AT_MS = 100_000_000_000;

/** For the record only: what is no time of our age is left out. */
function readAt(value: unknown): number | null {
  const isTime =
    typeof value === 'string' && /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.]{0,10} ?(?:Z|[+-]\d\d:?\d\d)?$/.test(value);
  const at = isTime ? Date.parse(value) : Number.NaN;
  return at >= LEAST_AT_MS ? at : null;
}

function unreadable(code: string): StatusItem {
  return { kind: 'unreadable', code };
}
