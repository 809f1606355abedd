/** From what the stores hold to what the API shows. */
import { replayedBy } from '../engine/dead-letters.ts';
import { type NewMessageDraft, splitBody } from '../engine/message.ts';
import type { FoundMessage, Gap, HistoryEntry, PublishersOrder, WaitingMessage } from '../engine/ports.ts';
import { type ChannelView as ChannelState, explain, type GapView } from '../room/explain.ts';
import { hasHead, headSequence, possiblyDelivered, type Room, type RoomKey, type RoomRow } from '../room/room.ts';
import type { MessageView, RoomMessageView, RoomView } from './schemas.ts';

export function viewOfSettled(id: string, entry: HistoryEntry, asOf: number): MessageView {
  const { key, outcome } = entry;
  return {
    id,
    ...key,
    sequence: entry.sequence,
    messageId: entry.messageId,
    requestId: splitBody(entry.body).requestId,
    ...placeIn(entry),
    ...replaysIn(entry.messageId),
    asOf,
    state: 'settled',
    outcome,
    order: outcome === 'acked' ? 'proven' : outcome === 'assumed' ? 'assumed' : null,
    reason: entry.reason,
    code: entry.lateNackCode ?? entry.code,
    level: entry.level,
    levelAt: entry.levelAt,
    platformId: entry.platformId,
    acceptedAt: entry.acceptedAt,
    notBefore: null,
    expiresAt: null,
    cancelled: outcome === 'cancelled',
    cancelledBy: outcome !== 'cancelled' ? null : entry.reason === 'superseded' ? 'superseded' : 'operator',
    settledAt: entry.settledAt,
    possiblyDelivered: entry.possiblyDelivered,
    attempts: [...entry.attempts],
  };
}

/** @param row the room of the message: what is known of its head is kept there */
export function viewOfWaiting(id: string, message: WaitingMessage, row: RoomRow, asOf: number): MessageView {
  const isHead = headSequence(row) === message.sequence;
  const cancelledBy = message.cancelledBy ?? (isHead && row.mark === 'cancel' ? 'operator' : null);
  return {
    id,
    ...message.key,
    sequence: message.sequence,
    messageId: message.messageId,
    requestId: splitBody(message.body).requestId,
    ...placeIn(message),
    ...replaysIn(message.messageId),
    asOf,
    state: 'waiting',
    outcome: null,
    order: null,
    reason: isHead ? row.reason : null,
    code: isHead ? (row.attempts.at(-1)?.code ?? null) : null,
    level: isHead ? row.level : 'none',
    levelAt: isHead ? row.levelAt : null,
    platformId: isHead ? row.platformId : null,
    acceptedAt: message.acceptedAt,
    notBefore: message.notBefore,
    expiresAt: message.expiresAt,
    cancelled: cancelledBy !== null,
    cancelledBy,
    settledAt: null,
    possiblyDelivered: isHead && possiblyDelivered(row),
    attempts: isHead ? [...row.attempts] : [],
  };
}

/** Of a message that has no place among those of its room yet. */
const NOTHING_SENT = {
  outcome: null,
  order: null,
  code: null,
  level: 'none',
  levelAt: null,
  platformId: null,
  cancelled: false,
  cancelledBy: null,
  settledAt: null,
  possiblyDelivered: false,
} as const;

/** @param gap what its room waits for */
export function viewOfParked(
  key: RoomKey,
  messageId: string,
  parked: Extract<FoundMessage, { kind: 'parked' }>,
  gap: Gap,
  asOf: number,
): RoomMessageView {
  return {
    id: null,
    ...key,
    sequence: null,
    messageId,
    requestId: splitBody(parked.body).requestId,
    ...placeIn(parked),
    ...replaysIn(messageId),
    asOf,
    state: 'parked',
    parked: { order: parked.order, waitsFor: gap.waitsFor, since: gap.since },
    ...NOTHING_SENT,
    reason: null,
    acceptedAt: parked.acceptedAt,
    notBefore: parked.notBefore,
    expiresAt: parked.expiresAt,
    attempts: [],
  };
}

/** @param buriedFor why it was put aside; null where it waits to be inserted */
export function viewOfBuffered(
  draft: NewMessageDraft & { readonly messageId: string },
  buriedFor: string | null,
  asOf: number,
): RoomMessageView {
  const { key, messageId, order } = draft;
  return {
    id: null,
    ...key,
    sequence: null,
    messageId,
    requestId: splitBody(draft.body).requestId,
    ...placeIn(order === undefined ? {} : { order }),
    ...replaysIn(messageId),
    asOf,
    state: buriedFor === null ? 'buffered' : 'set_aside',
    ...NOTHING_SENT,
    reason: buriedFor,
    acceptedAt: null,
    notBefore: draft.notBefore,
    expiresAt: draft.expiresAt,
    attempts: [],
  };
}

/** @param held whether a worker holds the room's shard */
export function viewOfRoom(
  room: Room,
  channel: ChannelState,
  held: boolean,
  now: number,
  gap: GapView | null = null,
): RoomView {
  const { phase, reason, paused, since, until, settled, tail } = room;
  return {
    ...room.key,
    asOf: now,
    phase,
    reason,
    explanation: explain(room, channel, held, now, gap),
    paused,
    since,
    until,
    head: hasHead(room) ? headSequence(room) : null,
    tail,
    counts: { accepted: tail, settled, waiting: tail - settled, parked: gap?.parked ?? 0 },
    ...(gap === null ? {} : { gap: { waitsFor: gap.waitsFor, since: gap.since, skippedAt: gap.skippedAt } }),
  };
}

function placeIn({ order, late }: PublishersOrder): Pick<MessageView, 'publisherOrder' | 'late'> {
  return { ...(order === undefined ? {} : { publisherOrder: order }), ...(late === undefined ? {} : { late }) };
}

function replaysIn(messageId: string): Pick<MessageView, 'replays'> {
  const replays = replayedBy(messageId);
  return replays === null ? {} : { replays };
}
