/** From what the stores hold to what the API shows. */
import { replayedBy } from '../engine/dead-letters.ts';
import { splitBody } from '../engine/message.ts';
import type { HistoryEntry, WaitingMessage } from '../engine/ports.ts';
import { type ChannelView as ChannelState, explain } from '../room/explain.ts';
import { hasHead, headSequence, possiblyDelivered, type Room, type RoomRow } from '../room/room.ts';
import type { MessageView, RoomView } from './schemas.ts';

export function viewOfSettled(id: string, entry: HistoryEntry, asOf: number): MessageView {
  const { key, outcome } = entry;
  return {
    id,
    ...key,
    sequence: entry.sequence,
    messageId: entry.messageId,
    requestId: splitBody(entry.body).requestId,
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

/** @param held whether a worker holds the room's shard */
export function viewOfRoom(room: Room, channel: ChannelState, held: boolean, now: number): RoomView {
  const { phase, reason, paused, since, until, settled, tail } = room;
  return {
    ...room.key,
    asOf: now,
    phase,
    reason,
    explanation: explain(room, channel, held, now),
    paused,
    since,
    until,
    head: hasHead(room) ? headSequence(room) : null,
    tail,
    counts: { accepted: tail, settled, waiting: tail - settled },
  };
}

function replaysIn(messageId: string): Pick<MessageView, 'replays'> {
  const replays = replayedBy(messageId);
  return replays === null ? {} : { replays };
}
