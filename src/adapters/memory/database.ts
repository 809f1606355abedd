/**
 * The tables that the memory stores share. Everything kept here is a frozen copy, so that no caller can change what is
 * stored by changing what it passed in or was given.
 */
import type { AnotherHistory } from '../../engine/fleet-ports.ts';
import type { LetterPayload, StoredLetter } from '../../engine/operator-ports.ts';
import type {
  ChannelKey,
  ChannelSelection,
  DeadLetter,
  Gap,
  HistoryEntry,
  InboxAck,
  NewMessage,
  PublishersOrder,
  StoredEnvelope,
  StoredRoom,
} from '../../engine/ports.ts';
import { ENVELOPE_WINDOW, hasHead, headSequence, type RoomAddress, type RoomRow } from '../../room/room.ts';

/** A message that has not settled. */
export interface MessageRow extends PublishersOrder {
  readonly envelope: StoredEnvelope;
  readonly body: Uint8Array;
  readonly digest: Uint8Array;
}

/** A room with all that is stored under it. */
export interface RoomRecord {
  row: RoomRow;
  /** Waiting and in-flight messages by sequence, ascending. */
  readonly messages: Map<number, MessageRow>;
  /** Settled messages by sequence, ascending. */
  readonly history: Map<number, HistoryEntry>;
  /** Every message id that the room has accepted. */
  readonly ids: Map<string, { readonly sequence: number; readonly digest: Uint8Array }>;
  /** The next number of its publisher's order, and what is parked ahead of it, by their numbers. */
  nextOrder: number;
  gapSince: number | null;
  readonly parked: Map<number, NewMessage>;
  /** Numbers that were given up, as ranges that never meet; and those of them whose messages came after all. */
  readonly skipped: { readonly first: number; readonly last: number }[];
  readonly late: Set<number>;
}

/**
 * One platform id of one channel: the message that an acceptance gave it to, and the ack that came for it while no
 * acceptance had named it. Both are one row, so that whoever comes second sees the other. The ack stays readable after
 * the two have met: the process that learnt of it may die before it acts on it.
 */
export interface PlatformIdRow {
  readonly message: { readonly address: RoomAddress; readonly sequence: number } | null;
  readonly ack: InboxAck | null;
  readonly keptAt: number;
}

export interface MemoryDatabase {
  readonly shards: number;
  /** Engine time in ms: the clock of this database. */
  readonly now: () => number;
  /** Not null while the database is said to have gone back in time. */
  readonly anotherHistory: () => AnotherHistory | null;
  readonly rooms: Map<number, RoomRecord>;
  readonly roomIds: Map<string, number>;
  /** Ids of each shard's rooms, ascending. */
  readonly byShard: Map<number, number[]>;
  readonly platformIds: Map<string, PlatformIdRow>;
  readonly deadLetters: DeadLetter[];
  /** What operators did about letters, by their ids. */
  readonly closedLetters: Map<number, ClosedLetter>;
  /** What intake refused, by the ids of the letters. */
  readonly refusedPayloads: Map<number, LetterPayload>;
  readonly fences: Map<string, Fence>;
  readonly bufferPartitions: Map<number, BufferPartition>;
}

/** A partition of the buffer, and who empties it. */
export interface BufferPartition {
  term: number;
  cursor: string;
  history: string | null;
  consumer: string | null;
  leaseEndsAt: number;
}

export type ClosedLetter = Pick<StoredLetter, 'state' | 'closedAt' | 'closedBy' | 'replayedAs'>;

/** A worker's heartbeat and fence rows. */
export interface Fence {
  leaseEndsAt: number;
  /** Its whole life. */
  leaseMs: number;
  readonly hears: string | null;
  fenced: boolean;
  generation: number;
  readonly name: string;
  readonly roles: readonly string[];
  readonly weight: number;
  readonly registeredAt: number;
  draining: boolean;
}

export function createDatabase(
  shards: number,
  now: () => number,
  anotherHistory: () => AnotherHistory | null = () => null,
): MemoryDatabase {
  return {
    shards,
    now,
    anotherHistory,
    rooms: new Map(),
    roomIds: new Map(),
    byShard: new Map(),
    platformIds: new Map(),
    deadLetters: [],
    closedLetters: new Map(),
    refusedPayloads: new Map(),
    fences: new Map(),
    bufferPartitions: new Map(),
  };
}

/** Every call takes effect as a whole in a later microtask, like a statement that is sent and then executed. */
export function nextMicrotask(): Promise<void> {
  return Promise.resolve();
}

/** Names that may hold any character are joined without ambiguity. */
export function compositeKey(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}

export function platformIdKey(channel: ChannelKey, platformId: string): string {
  return compositeKey(channel.tenant, channel.channel, platformId);
}

export function recordAt(database: MemoryDatabase, address: RoomAddress): RoomRecord | null {
  const record = database.rooms.get(address.id);
  return record !== undefined && record.row.shard === address.shard ? record : null;
}

export function addressOf(row: RoomRow): RoomAddress {
  return Object.freeze({ shard: row.shard, id: row.id });
}

/** A frozen copy of a room's row; what else the given value carries, such as envelopes, is left behind. */
export function copyRow(row: RoomRow, tail: number): RoomRow {
  return Object.freeze({
    shard: row.shard,
    id: row.id,
    key: Object.freeze({ ...row.key }),
    version: row.version,
    phase: row.phase,
    settled: row.settled,
    tail,
    paused: row.paused,
    since: row.since,
    reason: row.reason,
    until: row.until,
    gapUntil: row.gapUntil,
    debtUntil: row.debtUntil,
    attempt: row.attempt,
    spent: row.spent,
    level: row.level,
    levelAt: row.levelAt,
    platformId: row.platformId,
    platformAt: row.platformAt,
    mark: row.mark,
    nack: row.nack === null ? null : Object.freeze({ ...row.nack }),
    bytesLeft: row.bytesLeft,
    firstClaimVersion: row.firstClaimVersion,
    attempts: copyAttempts(row.attempts),
  });
}

export function copyAttempts(attempts: RoomRow['attempts']): RoomRow['attempts'] {
  return Object.freeze(attempts.map((attempt) => Object.freeze({ ...attempt })));
}

export function copyAck(ack: InboxAck): InboxAck {
  return Object.freeze({ ...ack, nack: ack.nack === null ? null : Object.freeze({ ...ack.nack }) });
}

/** A settled message as a reader gets it: with bytes of its own. */
export function copyEntry(entry: HistoryEntry): HistoryEntry {
  return Object.freeze({ ...entry, body: entry.body.slice() });
}

export function gapOf({ nextOrder, gapSince }: RoomRecord): Gap | null {
  return gapSince === null ? null : Object.freeze({ waitsFor: nextOrder, since: gapSince });
}

/** The parked message that has this id. */
export function parkedAs({ parked }: RoomRecord, messageId: string): NewMessage | undefined {
  for (const message of parked.values()) if (message.messageId === messageId) return message;
  return undefined;
}

/** The place of a message in its publisher's order, alone. */
export function orderOf({ order, late }: PublishersOrder): PublishersOrder {
  return { ...(order === undefined ? {} : { order }), ...(late === undefined ? {} : { late }) };
}

/** The room as readers see it: its row and the envelopes of its head and the next few. */
export function storedRoom(record: RoomRecord): StoredRoom {
  const envelopes: StoredEnvelope[] = [];
  if (hasHead(record.row)) {
    for (let sequence = headSequence(record.row); envelopes.length <= ENVELOPE_WINDOW; sequence++) {
      const message = record.messages.get(sequence);
      if (message === undefined) break;
      envelopes.push(message.envelope);
    }
  }
  const gap = gapOf(record);
  const stored = { row: record.row, envelopes: Object.freeze(envelopes) };
  return Object.freeze(gap === null ? stored : { ...stored, gap });
}

/** What has come to no tenant is selected only where everything is. */
export function selects(
  { channel: only, tenants }: ChannelSelection,
  { tenant, channel }: { readonly tenant: string | null; readonly channel: string | null },
): boolean {
  if (only !== null) return tenant === only.tenant && channel === only.channel;
  return tenants === null || (tenant !== null && tenants.includes(tenant));
}
