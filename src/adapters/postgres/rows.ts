/** Rows of the database and the values of the ports, one for the other. */
import type {
  FoundMessage,
  Gap,
  HistoryEntry,
  InboxAck,
  SettledState,
  StoredEnvelope,
  StoredRoom,
  WaitingMessage,
} from '../../engine/ports.ts';
import type { AckLevel, Attempt, Nack, Outcome, RoomKey, RoomRow } from '../../room/room.ts';

/** A row of `rooms` or `resting_rooms`. */
export interface RoomRecord {
  readonly shard: number;
  readonly id: number;
  readonly tenant: string;
  readonly channel: string;
  readonly room: string;
  readonly version: number;
  readonly phase: RoomRow['phase'];
  readonly settled: number;
  readonly tail: number;
  readonly paused: boolean;
  readonly since: number;
  readonly reason: RoomRow['reason'];
  readonly until: number | null;
  readonly gap_until: number;
  readonly debt_until: number;
  readonly attempt: number;
  readonly spent: number;
  readonly level: AckLevel;
  readonly level_at: number | null;
  readonly platform_id: string | null;
  readonly platform_at: number | null;
  readonly mark: RoomRow['mark'];
  readonly nack: RoomRow['nack'];
  readonly bytes_left: boolean;
  readonly first_claim_version: number;
  readonly attempts: readonly Attempt[];
  readonly next_order: number;
  readonly gap_since: number | null;
}

export function roomRow(record: RoomRecord): RoomRow {
  return {
    shard: record.shard,
    id: record.id,
    key: keyOf(record),
    version: record.version,
    phase: record.phase,
    settled: record.settled,
    tail: record.tail,
    paused: record.paused,
    since: record.since,
    reason: record.reason,
    until: record.until,
    gapUntil: record.gap_until,
    debtUntil: record.debt_until,
    attempt: record.attempt,
    spent: record.spent,
    level: record.level,
    levelAt: record.level_at,
    platformId: record.platform_id,
    platformAt: record.platform_at,
    mark: record.mark,
    nack: record.nack,
    bytesLeft: record.bytes_left,
    firstClaimVersion: record.first_claim_version,
    attempts: record.attempts,
  };
}

export function gapOf({ next_order, gap_since }: Pick<RoomRecord, 'next_order' | 'gap_since'>): Gap | null {
  return gap_since === null ? null : { waitsFor: next_order, since: gap_since };
}

/** As `json_build_array` in the statements that read rooms orders them. */
type EnvelopeFields = readonly [
  sequence: number,
  messageId: string,
  acceptedAt: number,
  notBefore: number | null,
  expiresAt: number | null,
  ackTimeoutMs: number | null,
  failurePolicy: StoredEnvelope['failurePolicy'],
  cancelledBy: StoredEnvelope['cancelledBy'],
];

export interface StoredRoomRecord extends RoomRecord {
  readonly envelopes: readonly EnvelopeFields[];
  readonly head_body?: Uint8Array | null;
}

export function storedRoom(record: StoredRoomRecord): StoredRoom {
  const gap = gapOf(record);
  const { head_body: headBody } = record;
  return {
    row: roomRow(record),
    envelopes: record.envelopes.map(storedEnvelope),
    ...(gap === null ? {} : { gap }),
    ...(headBody == null ? {} : { headBody }),
  };
}

function storedEnvelope(fields: EnvelopeFields): StoredEnvelope {
  const [sequence, messageId, acceptedAt, notBefore, expiresAt, ackTimeoutMs, failurePolicy, cancelledBy] = fields;
  return { sequence, messageId, acceptedAt, notBefore, expiresAt, ackTimeoutMs, failurePolicy, cancelledBy };
}

interface MessageRecord extends RoomKey {
  readonly shard: number;
  readonly room_id: number;
  readonly sequence: number;
  readonly accepted_at: number;
  readonly message_id: string;
  readonly body: Uint8Array;
  readonly order_number: number | null;
  readonly late_order: boolean | null;
}

export interface WaitingRecord extends MessageRecord {
  readonly outcome?: null;
  readonly not_before: number | null;
  readonly expires_at: number | null;
  readonly ack_timeout_ms: number | null;
  readonly failure_policy: StoredEnvelope['failurePolicy'];
  readonly cancelled_by: StoredEnvelope['cancelledBy'];
}

export interface SettledStateRecord extends Pick<MessageRecord, 'shard' | 'room_id' | 'sequence'> {
  readonly settled_at: number;
  readonly level_at: number | null;
  readonly platform_at: number | null;
  readonly revision: number;
  readonly outcome: Outcome;
  readonly level: AckLevel;
  readonly reason: string;
  readonly late_nack_code: string | null;
  readonly platform_id: string | null;
  readonly attempts: readonly Attempt[];
}

export interface SettledRecord extends MessageRecord, SettledStateRecord {
  readonly first_claim_version: number;
  readonly settle_version: number;
  readonly possibly_delivered: boolean;
  readonly code: string | null;
}

export function waitingMessage(record: WaitingRecord): WaitingMessage {
  return {
    ...messageFields(record),
    notBefore: record.not_before,
    expiresAt: record.expires_at,
    ackTimeoutMs: record.ack_timeout_ms,
    failurePolicy: record.failure_policy,
    cancelledBy: record.cancelled_by,
  };
}

export function historyEntry(record: SettledRecord): HistoryEntry {
  return {
    ...messageFields(record),
    ...settledState(record),
    code: record.code,
    possiblyDelivered: record.possibly_delivered,
    firstClaimVersion: record.first_claim_version,
    settleVersion: record.settle_version,
  };
}

export function settledState(record: SettledStateRecord): SettledState {
  return {
    address: { shard: record.shard, id: record.room_id },
    sequence: record.sequence,
    settledAt: record.settled_at,
    outcome: record.outcome,
    reason: record.reason,
    level: record.level,
    levelAt: record.level_at,
    lateNackCode: record.late_nack_code,
    platformId: record.platform_id,
    platformAt: record.platform_at,
    attempts: record.attempts,
    revision: record.revision,
  };
}

function messageFields(record: MessageRecord) {
  return {
    address: { shard: record.shard, id: record.room_id },
    key: keyOf(record),
    sequence: record.sequence,
    messageId: record.message_id,
    body: record.body,
    acceptedAt: record.accepted_at,
    ...(record.order_number === null ? {} : { order: record.order_number }),
    ...(record.late_order === true ? { late: true as const } : {}),
  };
}

/** What find_message.sql answers. */
export interface FoundRecord {
  readonly sequence: number | null;
  readonly order_number: number;
  readonly accepted_at: number;
  readonly not_before: number | null;
  readonly expires_at: number | null;
  readonly body: Uint8Array;
}

export function foundMessage(record: FoundRecord): FoundMessage {
  if (record.sequence !== null) return { kind: 'numbered', sequence: record.sequence };
  return {
    kind: 'parked',
    order: record.order_number,
    acceptedAt: record.accepted_at,
    notBefore: record.not_before,
    expiresAt: record.expires_at,
    body: record.body,
  };
}

export interface AckRecord {
  readonly platform_id: string;
  readonly level: AckLevel;
  readonly nack: Nack | null;
  readonly at: number;
}

export function inboxAck(record: AckRecord): InboxAck {
  return { platformId: record.platform_id, level: record.level, nack: record.nack, at: record.at };
}

function keyOf(record: RoomKey): RoomKey {
  return { tenant: record.tenant, channel: record.channel, room: record.room };
}
