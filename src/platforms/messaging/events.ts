/** Reading a webhook call: echoes, deliveries and reads of several threads and pages, mixed with what users write. */
import type { StatusItem } from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import type { AckLevel } from '../../room/room.ts';
import { type Fields, isFields, parseWebhookBody, readId, readReference, readTime } from '../fields.ts';
import { readMessageId } from './answer.ts';
import type { Threads, WatermarkLevel } from './threads.ts';

/** More than this is no call of Meta's. */
export const MAX_ITEMS = 10_000;

/** The page or account that an entry is about. */
interface Entry {
  readonly sender: { sender?: string };
  /** Names a thread of it, in memory. */
  readonly thread: (person: string) => string;
}

/**
 * @param objects what a call may be about: `page`, `instagram`
 * @throws RoomlineError where nothing of the call can be read
 */
export function readEvents(raw: Uint8Array, objects: readonly unknown[], threads: Threads): StatusItem[] {
  const call = parseWebhookBody(raw);
  if (!isFields(call)) throw new RoomlineError('field_type', { field: 'body', rule: 'an object' });
  if (call.entry === undefined) throw new RoomlineError('field_missing', { field: 'entry', rule: 'required' });
  if (!Array.isArray(call.entry)) throw new RoomlineError('field_type', { field: 'entry', rule: 'a list' });
  if (!objects.includes(call.object)) return [other('object_other')];
  const items = call.entry.flatMap((entry) => readEntry(entry, threads));
  if (items.length <= MAX_ITEMS) return items;
  throw new RoomlineError('body_too_large', { field: 'entry', rule: `at most ${MAX_ITEMS} items` });
}

function readEntry(value: unknown, threads: Threads): StatusItem[] {
  if (!isFields(value)) return [unreadable('entry_type')];
  // `standby`: the same events, while another app leads the conversation.
  const events = [value.messaging, value.standby].filter(Array.isArray).flat();
  if (events.length === 0) return [other('nothing_ours')];
  const id = readId(value.id);
  const entry: Entry = {
    sender: id === null ? {} : { sender: id },
    thread: (person) => `${id ?? ''}/${person}`,
  };
  return events.flatMap((event) => readEvent(event, entry, threads));
}

function readEvent(event: unknown, entry: Entry, threads: Threads): StatusItem[] {
  if (!isFields(event)) return [unreadable('event_type')];
  const { message, delivery, read } = event;
  if (isFields(message)) {
    return message.is_echo === true ? readEcho(event, message, entry, threads) : [other('inbound_message')];
  }
  if (isFields(delivery)) return readReceipt(event, delivery, 'delivered', entry, threads);
  if (isFields(read)) return readReceipt(event, read, 'read', entry, threads);
  const none = message === undefined && delivery === undefined && read === undefined;
  return [none ? other('event_other') : unreadable('event_type')];
}

/** What the page or account itself sent: through Roomline, by another app, or by hand. */
function readEcho(event: Fields, message: Fields, entry: Entry, threads: Threads): StatusItem[] {
  if (message.is_deleted === true) return [other('message_deleted')];
  const { metadata } = message;
  const reference = readReference(metadata);
  // Our own messages carry our reference, or nothing where the platform does not repeat it.
  if (reference === null && metadata !== undefined && metadata !== null && metadata !== '') {
    return [other('echo_other')];
  }
  const mid = readMessageId(message.mid);
  if (mid === null && reference === null) return [unreadable('message_unnamed')];
  const at = readAt(event.timestamp);
  const person = personOf(event.recipient);
  const sentAt = readMs(event.timestamp);
  const sent = status({ reference, mid }, 'sent', at, entry);
  const items: StatusItem[] = [sentAt === null ? sent : { ...sent, platformAt: sentAt }];
  if (mid === null || person === null || sentAt === null) return items;
  const levels = threads.echoed(entry.thread(person), { mid, reference, sentAt });
  return [...items, ...levels.map((level) => status({ reference, mid }, level, null, entry))];
}

/** A delivery or a read: by message, by watermark, or by both. */
function readReceipt(
  event: Fields,
  receipt: Fields,
  level: WatermarkLevel,
  entry: Entry,
  threads: Threads,
): StatusItem[] {
  const { mids, mid, watermark } = receipt;
  const named = [...(Array.isArray(mids) ? mids : []), ...(mid === undefined ? [] : [mid])];
  const at = readAt(event.timestamp);
  const person = personOf(event.sender);
  const echoes = person === null ? [] : threads.echoes(entry.thread(person));
  const items = named.map((value): StatusItem => {
    const id = readMessageId(value);
    if (id === null) return unreadable('message_unnamed');
    // Where the answer to the send was lost, only the echo told which message has this id.
    const { reference } = echoes.find((echo) => echo.mid === id) ?? { reference: null };
    return status({ reference, mid: id }, level, at, entry);
  });
  if (watermark === undefined) return items.length > 0 ? items : [unreadable('message_unnamed')];
  const mark = readMs(watermark);
  if (mark === null) return [...items, unreadable('watermark_invalid')];
  if (person === null) return [...items, unreadable('person_invalid')];
  const isLatest = threads.isLatest(entry.thread(person), level, mark);
  const covered = threads
    .marked(entry.thread(person), level, mark)
    .filter((echo) => !named.includes(echo.mid))
    .map((echo) => status(echo, level, at, entry));
  if (items.length + covered.length > 0) return [...items, ...covered];
  if (!isLatest) return [other('watermark_unmatched')];
  // It covers what was sent before it; the engine's cover what was sent at their time, too.
  return [{ kind: 'watermark', to: person, level, watermark: mark - 1, timedByAcks: true, ...entry.sender }];
}

function status(
  { reference, mid }: { readonly reference: string | null; readonly mid: string | null },
  level: Exclude<AckLevel, 'none'>,
  at: number | null,
  { sender }: Entry,
): Extract<StatusItem, { kind: 'status' }> {
  return { kind: 'status', reference, platformId: mid, level, nack: null, at, cumulative: false, ...sender };
}

function personOf(value: unknown): string | null {
  return isFields(value) ? readId(value.id) : null;
}

/** No time in ms since 1973 is below this; one in seconds is, until the year 5138. */
const LEAST_MS = 100_000_000_000;

/** A time that can be compared with others: one in seconds may be up to a second too early. */
function readMs(value: unknown): number | null {
  const time = readTime(value);
  return time !== null && time >= LEAST_MS ? time : null;
}

/** For the record only; seconds have been seen where ms are documented. */
function readAt(value: unknown): number | null {
  const time = readTime(value);
  if (time === null) return null;
  const ms = time < LEAST_MS ? time * 1_000 : time;
  return ms >= LEAST_MS ? ms : null;
}

function other(code: string): StatusItem {
  return { kind: 'other', code };
}

function unreadable(code: string): StatusItem {
  return { kind: 'unreadable', code };
}
