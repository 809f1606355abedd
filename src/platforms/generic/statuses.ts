/** Reading the statuses of a webhook call: one item that cannot be read never fails the others. */
import type { StatusItem } from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import { type Fields, isFields, parseWebhookBody, readId, readReference, readTime } from '../fields.ts';
import { FAILED } from './answer.ts';
import { readLevel, readNack, readRecipient } from './fields.ts';

export const MAX_STATUSES = 5_000;

/** @throws RoomlineError where nothing of the call can be read */
export function readStatuses(raw: Uint8Array): StatusItem[] {
  const call = parseWebhookBody(raw);
  const statuses = isFields(call) ? call.statuses : undefined;
  if (statuses === undefined) throw new RoomlineError('field_missing', { field: 'statuses', rule: 'required' });
  if (!Array.isArray(statuses)) throw new RoomlineError('field_type', { field: 'statuses', rule: 'a list' });
  if (statuses.length > MAX_STATUSES) {
    throw new RoomlineError('body_too_large', { field: 'statuses', rule: `at most ${MAX_STATUSES} items` });
  }
  return statuses.map(readItem);
}

function readItem(item: unknown): StatusItem {
  if (!isFields(item)) return unreadable('item_type');
  return item.watermark === undefined ? readStatus(item) : readWatermark(item);
}

function readWatermark(item: Fields): StatusItem {
  const to = readRecipient(item.to);
  const watermark = readTime(item.watermark);
  const level = readLevel(item.status);
  if (watermark === null) return unreadable('watermark_invalid');
  if (to === null) return unreadable('recipient_invalid');
  if (level === null) return unreadable('status_unknown');
  return { kind: 'watermark', to, level, watermark };
}

function readStatus(item: Fields): StatusItem {
  const reference = readReference(item.reference);
  const platformId = readId(item.id);
  if (reference === null && platformId === null) return unreadable('message_unnamed');
  const named = { kind: 'status', reference, platformId, at: readAt(item.at) } as const;
  if (item.status === 'failed') {
    const error = isFields(item.error) ? item.error : {};
    return { ...named, level: null, nack: readNack(error, FAILED), cumulative: false };
  }
  const level = readLevel(item.status);
  if (level === null) return unreadable('status_unknown');
  return { ...named, level, nack: null, cumulative: item.cumulative === true };
}

/** No time in ms since 1973 is below this; one in seconds is. */
const LEAST_AT_MS = 100_000_000_000;

/** When it happened, for the record only: a time in other units is left out rather than kept wrong. */
function readAt(value: unknown): number | null {
  const at = readTime(value);
  return at !== null && at >= LEAST_AT_MS ? at : null;
}

function unreadable(code: string): StatusItem {
  return { kind: 'unreadable', code };
}
