/**
 * Everything the engine needs from outside, as interfaces. The adapters implement them; the simulation does, too.
 * All times are engine time in ms (see `Clock`) unless a name says otherwise.
 */
import type { LateVerdict, SettledMessage } from '../room/ack.ts';
import type { Fact } from '../room/events.ts';
import type {
  AckLevel,
  Attempt,
  CancelledBy,
  Nack,
  Outcome,
  Room,
  RoomAddress,
  RoomKey,
  RoomRow,
} from '../room/room.ts';
import type { AppendResult, FoundMessage, Gap, NewMessage, OpenGap, PublishersOrder, Skipped } from './append-ports.ts';
import type { CursorMove } from './buffer-ports.ts';
import type { OwnershipStore } from './fleet-ports.ts';

export type {
  AppendedRow,
  AppendResult,
  FoundMessage,
  Gap,
  IntakeResult,
  NewMessage,
  OpenGap,
  PublishersOrder,
  Skipped,
} from './append-ports.ts';

// ---------------------------------------------------------------------------------------------------- time and chance

export interface Clock {
  /** Engine time: the database's, sampled at lease renewal, plus monotonic time since. */
  now(): number;
  /** Monotonic ms of this process. */
  monotonic(): number;
  /** Runs `callback` once after `delayMs`; the result cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

/** A clock whose engine time the ownership service sets. */
export interface SettableClock extends Clock {
  /** `databaseTimeMs` was read between the two monotonic instants. */
  synchronize(databaseTimeMs: number, sentAtMonotonicMs: number, receivedAtMonotonicMs: number): void;
}

/** Calls back when everything else that this turn of the event loop brings is done. */
export type EndOfTurn = (callback: () => void) => void;

/** Uniform in [0, 1). */
export type Chance = () => number;

// --------------------------------------------------------------------------------------------------------- room store

/** What the store holds of a waiting message beside its body. Policies are laid over it by the engine. */
export interface StoredEnvelope {
  readonly sequence: number;
  readonly messageId: string;
  readonly acceptedAt: number;
  readonly notBefore: number | null;
  readonly expiresAt: number | null;
  readonly ackTimeoutMs: number | null;
  readonly failurePolicy: 'move_on' | 'hold' | null;
  readonly cancelledBy: CancelledBy | null;
}

/** `envelopes` ascend from the head without gaps, at most `ENVELOPE_WINDOW + 1` of them. */
export interface StoredRoom {
  readonly row: RoomRow;
  readonly envelopes: readonly StoredEnvelope[];
  readonly gap?: Gap;
  /** Of the head, where it was asked for and nothing of it is under way. */
  readonly headBody?: Uint8Array;
}

export interface WantedRoom extends RoomAddress {
  /** Its head is about to be sent. */
  readonly withBody?: boolean;
}

/** A room by its name, with the shard that follows from it. */
export interface RoomName {
  readonly key: RoomKey;
  readonly shard: number;
}

/** The worker's proof that it may claim: its fence row must be unfenced and at this generation. */
export interface ClaimProof {
  readonly worker: string;
  readonly generation: number;
}

/** One room's new state, stored only where the row still has `expectedVersion`. `tail` of `next` is never stored. */
export interface RoomWrite {
  readonly expectedVersion: number;
  readonly next: Room;
  readonly facts: readonly Fact[];
  /** It puts an attempt's intent on disk: refused unless the claim proof holds. */
  readonly claims: boolean;
}

export type WriteResult =
  /** `inbox`: acks that waited for a platform id which this write made known. */
  | { readonly kind: 'committed'; readonly tail: number; readonly inbox: readonly InboxAck[] }
  /** The row has another version (or is gone): read it again and decide again. */
  | { readonly kind: 'conflict' }
  /** Somebody holds the row's lock: the write rides in the next batch, unchanged. */
  | { readonly kind: 'busy' }
  /** The claim proof does not hold. */
  | { readonly kind: 'fenced' };

/** Facts of messages that have settled already; written without a room's row. */
export interface LateFact {
  readonly address: RoomAddress;
  readonly fact: Extract<Fact, { kind: 'accepted_as' | 'answered_late' }>;
}

/** How far a room is, without what it is about. */
export interface RoomMark extends RoomAddress {
  readonly version: number;
  readonly tail: number;
  /** Idle, everything has settled, and nothing is parked. */
  readonly atRest: boolean;
}

export interface RoomStore {
  /**
   * Appends in one transaction: lock the rooms in id order, dedupe, number, insert, raise the tails. All or nothing;
   * results in the order of the batch. Two messages with one id in one batch: the second is a duplicate or a conflict.
   * A message whose publisher's order is ahead of its turn is parked; the one that closes the gap brings those behind it.
   * @param cursor is moved with it: where that is not possible, nothing is appended
   * @throws RoomlineError `another_history` where the database is not the one whose past is known; CursorMovedError
   */
  append(batch: readonly NewMessage[], cursor?: CursorMove | null): Promise<AppendResult[]>;
  /**
   * One statement on the lane's own connection. At most one write per room and batch. No proof holds in another history.
   * @throws where it is not known whether it committed (`OutcomeUnknownError`), or where it did not.
   */
  compareAndSet(lane: number, writes: readonly RoomWrite[], proof: ClaimProof | null): Promise<WriteResult[]>;
  readRooms(wanted: readonly WantedRoom[]): Promise<(StoredRoom | null)[]>;
  findRoom(key: RoomKey, shard: number): Promise<StoredRoom | null>;
  /** Where rooms are, in the order asked for; null for one that is not there. */
  locateRooms(wanted: readonly RoomName[]): Promise<(RoomAddress | null)[]>;
  /** Bodies of waiting messages, in the order asked for; null for one that has left the room. */
  readBodies(wanted: readonly (RoomAddress & { readonly sequence: number })[]): Promise<(Uint8Array | null)[]>;
  /** A message of the room by its id, wherever it is; null where the room has none such. */
  findMessage(address: RoomAddress, messageId: string): Promise<FoundMessage | null>;
  /** How many messages of the room are parked. */
  countParked(address: RoomAddress): Promise<number>;
  /**
   * Gives up the numbers that rooms wait for: what is parked goes on, up to the next gap. At most one of each room; null
   * for a room that is not there. Anyone may: it claims nothing.
   * @throws RoomlineError `another_history`; OutcomeUnknownError: doing it again is safe
   */
  skipGaps(gaps: readonly OpenGap[]): Promise<(Skipped | null)[]>;
  /** Sequences of waiting messages by their ids, in the order asked for; null for one that does not wait there. */
  findWaiting(wanted: readonly (RoomAddress & { readonly messageId: string })[]): Promise<(number | null)[]>;
  /** Rooms of these shards that are not at rest: at most `limit`, from `after` (exclusive) in (shard, id) order. */
  scan(shards: readonly number[], limit: number, after: RoomAddress | null): Promise<StoredRoom[]>;
  /**
   * Rooms of these shards that may have been forgotten: those claimable, those `sending`, those whose deadline, or whose
   * head's validity, is not after `now`, and those with a gap. One that is written to between two pages may be in neither,
   * or in both.
   * @param from what the last page said; null for the first
   */
  sweep(shards: readonly number[], now: number, limit: number, from: string | null): Promise<SweepPage>;
  /**
   * Rooms of these shards whose rows were written since the call that returned `since`; some others may be among them.
   * Null: none, only where to begin.
   */
  changedSince(
    shards: readonly number[],
    since: string | null,
  ): Promise<{ readonly now: string; readonly rooms: readonly RoomMark[] }>;
}

/** At most `limit` rooms; `next` says where the next page begins, and is null after the last. */
export interface SweepPage {
  readonly rooms: readonly StoredRoom[];
  readonly next: string | null;
}

/** A statement was sent and its answer never came: it may have committed. */
export class OutcomeUnknownError extends Error {
  override readonly name = 'OutcomeUnknownError';
}

// ------------------------------------------------------------------------------------------------- history and inbox

/** What late statuses and late answers need of a settled message. */
export interface SettledState extends SettledMessage {
  readonly address: RoomAddress;
  readonly sequence: number;
  readonly settledAt: number;
  readonly reason: string;
  readonly platformId: string | null;
  readonly platformAt: number | null;
  readonly attempts: readonly Attempt[];
  /** Raised with every change of the entry; compared and set. */
  readonly revision: number;
}

export interface HistoryEntry extends SettledState, PublishersOrder {
  readonly key: RoomKey;
  readonly messageId: string;
  readonly body: Uint8Array;
  readonly acceptedAt: number;
  readonly code: string | null;
  readonly possiblyDelivered: boolean;
  readonly firstClaimVersion: number;
  readonly settleVersion: number;
}

/** Of so many messages of its room, the last ones, an ack tells at the most. */
export const ACK_REACH = 1_000;

/** What an ack tells of a room's settled messages: that those up to `upTo` which were sent are at `level` at least. */
export interface LowerLevels extends RoomAddress {
  readonly upTo: number;
  readonly level: AckLevel;
  /** Only messages that the platform accepted at or before this time of its own clock; null for all. */
  readonly watermark: number | null;
}

/** What a late ack or nack, judged by this state, makes of the message. */
export interface SettledChange {
  readonly state: SettledState;
  readonly verdict: Exclude<LateVerdict, { kind: 'ignored' }>;
  /** Of its room. */
  readonly key: ChannelKey;
  /** Of the failure, where the change makes a dead letter. */
  readonly fingerprint: string | null;
  readonly at: number;
}

export interface WaitingMessage extends StoredEnvelope, PublishersOrder {
  readonly address: RoomAddress;
  readonly key: RoomKey;
  readonly body: Uint8Array;
}

export interface HistoryStore {
  /** A settled message, or null. */
  readSettled(address: RoomAddress, sequence: number): Promise<HistoryEntry | null>;
  readWaiting(address: RoomAddress, sequence: number): Promise<WaitingMessage | null>;
  /** In the order asked for; null for a message that has not settled, or that retention has removed. */
  readSettledStates(wanted: readonly (RoomAddress & { readonly sequence: number })[]): Promise<(SettledState | null)[]>;
  /**
   * Compare-and-set on `revision`, each by itself; false where it has changed, if only by a change earlier in the batch.
   * Dead letters are written with it.
   */
  updateSettled(changes: readonly SettledChange[]): Promise<boolean[]>;
  /**
   * Those that have a lower level among the last `limit` messages of each room that an ack tells of, newest first; rooms in
   * the order asked for.
   */
  readLowerLevels(wanted: readonly LowerLevels[], limit: number): Promise<SettledState[][]>;
  recordLate(facts: readonly LateFact[]): Promise<void>;
  /** Newest first, at most `limit`, with sequences below `before`. */
  listRoom(address: RoomAddress, before: number | null, limit: number): Promise<(HistoryEntry | WaitingMessage)[]>;
}

/** An ack that matched nothing when it came, found by the platform id that an acceptance made known. */
export interface InboxAck {
  readonly platformId: string;
  readonly level: AckLevel;
  readonly nack: Nack | null;
  readonly at: number;
}

export interface ChannelKey {
  readonly tenant: string;
  readonly channel: string;
}

/** Whose things are asked for. */
export interface ChannelSelection {
  /** Null: not only of one channel. */
  readonly channel: ChannelKey | null;
  /** Null: of all tenants. Nothing beside a channel. */
  readonly tenants: readonly string[] | null;
}

/** Where a platform id leads. Ids that no acceptance has named yet hold their acks in the inbox. */
export interface AckInbox {
  /**
   * Finds the message of each platform id. For an id that is not known the ack is kept (levels only rise) until an
   * acceptance names it or `keepMs` have passed; both meet on one unique key, so whoever commits second sees the other.
   */
  matchOrKeep(
    channel: ChannelKey,
    acks: readonly InboxAck[],
    now: number,
  ): Promise<
    (
      | { readonly kind: 'matched'; readonly address: RoomAddress; readonly sequence: number }
      | { readonly kind: 'kept' }
    )[]
  >;
  /** Acks that wait for these platform ids. */
  read(channel: ChannelKey, platformIds: readonly string[]): Promise<InboxAck[]>;
  /** Drops what was kept longer than `keepMs`; returns how many. */
  prune(now: number, keepMs: number): Promise<number>;
}

// ----------------------------------------------------------------------------------------------------------- channels

export type ChannelCondition =
  | { readonly state: 'open' }
  | { readonly state: 'slowed'; readonly until: number; readonly reason: string }
  | { readonly state: 'stopped'; readonly reason: string; readonly since: number }
  | { readonly state: 'ack_outage'; readonly since: number };

export interface StoredCondition {
  readonly channel: ChannelKey;
  readonly condition: ChannelCondition;
  /** When the channel changed to it. */
  readonly at: number;
}

export interface ChannelStore {
  load(): Promise<StoredCondition[]>;
  /** Leaves what was stored as of a later time as it is. */
  save(channel: ChannelKey, condition: ChannelCondition, at: number): Promise<void>;
}

// -------------------------------------------------------------------------------------------------------------- limits

/** So many requests in a second on the long run, `burst` of them at once. */
export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

/** Limits that all processes keep together. */
export interface SharedRates {
  /**
   * Takes up to `want` tokens of the limit of this name. Rejects while it is away.
   * @returns how many it got and, where that is none, in how many ms there will be one
   */
  take(name: string, limit: RateLimit, want: number): Promise<{ readonly granted: number; readonly waitMs: number }>;
}

export interface Spent {
  /** In how many ms it may be asked again; 0: the cost was taken. */
  readonly waitMs: number;
  /** Tokens that are not paid back yet. */
  readonly debt: number;
}

/** Limits of callers that all processes keep together. */
export interface SharedBudgets {
  /** Takes `cost` where one token is there; what is lacking is owed, and paid first. Rejects while it is away. */
  spend(name: string, limit: RateLimit, cost: number): Promise<Spent>;
}

// ------------------------------------------------------------------------------------------------------------- signals

/**
 * What one process tells the others after it is on disk. A hint: it may be lost, come twice, late or out of order, and
 * whoever gets it acts on what the store holds.
 */
export type Signal =
  /** The row of a room has changed. `ackedAt`: when the ack arrived that settled a message with that; else null. */
  | {
      readonly kind: 'room';
      readonly shard: number;
      readonly id: number;
      readonly version: number;
      readonly tail: number;
      readonly ackedAt: number | null;
    }
  /** Shards of this worker have changed, or are to; null: everybody is to look at the fleet. */
  | { readonly kind: 'ownership'; readonly worker: string | null }
  /** The condition or the settings of a channel have changed. */
  | { readonly kind: 'channels' }
  /** Acks of this channel arrive. Told now and then while they do. `delaysMs`: how long some took since the answer. */
  | { readonly kind: 'acks'; readonly channel: ChannelKey; readonly delaysMs?: readonly number[] }
  /** Signals of this process went nowhere: whoever holds shards looks at the rows. */
  | { readonly kind: 'missed' };

export interface Signals {
  /** Signals can be expected to arrive, so that sweeps may be rare; about rooms of shards that were just followed, soon. */
  readonly live: boolean;
  /** Raised whenever signals of others may have been missed. */
  readonly lapses: number;
  /** Never throws and never waits: what does not fit is dropped. Signals of one flush travel together. */
  publish(signal: Signal): void;
  /** From now on signals about rooms of these shards come in. */
  follow(shards: readonly number[]): void;
  unfollow(shards: readonly number[]): void;
  /** Signals about rooms of these followed shards can be expected to arrive. */
  hears(shards: readonly number[]): boolean;
  /** Calls back for every signal of another process; about rooms, of followed shards. The result ends that. */
  listen(listener: (signal: Signal) => void): () => void;
}

export interface DeadLetter {
  readonly id: number;
  readonly at: number;
  readonly kind: 'message' | 'intake';
  readonly reason: string;
  readonly tenant: string | null;
  readonly channel: string | null;
  readonly address: RoomAddress | null;
  readonly sequence: number | null;
  readonly detail: string | null;
  /** Of the failure that made it; null of letters that are older than this. */
  readonly fingerprint: string | null;
}

export interface DeadLetterStore {
  /** Payloads that intake refused; `dedupeKey` makes a redelivered one count once. */
  putIntake(
    letters: readonly {
      readonly reason: string;
      readonly detail: string;
      readonly payload: Uint8Array;
      readonly attributes: Readonly<Record<string, string>>;
      readonly dedupeKey: string;
      readonly at: number;
    }[],
  ): Promise<void>;
  list(beforeId: number | null, limit: number): Promise<DeadLetter[]>;
}

// ----------------------------------------------------------------------------------------------------------- platforms

export interface SendRequest {
  readonly reference: string;
  readonly body: Uint8Array;
  readonly attempt: number;
  readonly worker: string;
  readonly generation: number;
  readonly timeoutMs: number;
  /** Of the request that published the message, for the traces of whoever it goes to. */
  readonly requestId?: string;
  /** What was uploaded for this body by this channel; it goes instead of the links. */
  readonly prepared?: Prepared;
}

/** What was uploaded for one message: by the link that it stands for, the platform's id of it. */
export type Prepared = ReadonlyMap<string, string>;

export type PrepareResult =
  /** `usableForMs`: how long the platform keeps it at the least. */
  | { readonly kind: 'prepared'; readonly prepared: Prepared; readonly usableForMs: number }
  /** `code`: ours or the platform's, at most 64 characters. */
  | { readonly kind: 'failed'; readonly code: string; readonly retryable: boolean };

/** Uploads, while a message waits for its turn, the media that it links to. Without it the links are sent. */
export interface Preparer {
  /** Uploads of the channel in flight at once. */
  readonly maxConcurrent: number;
  /**
   * What there is to do for a stored body, or null where it links to nothing. The work is bounded in time, ends early
   * when the signal aborts, and never rejects.
   */
  plan(body: Uint8Array): ((signal: AbortSignal) => Promise<PrepareResult>) | null;
}

/** What an attempt gave, as the platform's adapter classified it. */
export type SendResult =
  | {
      readonly kind: 'accepted';
      readonly platformId: string | null;
      readonly platformAt: number | null;
      readonly duplicate: boolean;
      /** The highest ack level that this content ever gets, where it is below what the channel's others get. */
      readonly highestLevel?: Exclude<AckLevel, 'none'>;
    }
  /** `preparedRefused`: what was uploaded may be why, and the links may do better at once. */
  | { readonly kind: 'refused'; readonly nack: Nack; readonly preparedRefused?: true }
  | { readonly kind: 'unknown'; readonly code: string; readonly textDigest?: string; readonly bytesLeft: boolean };

export type LookupResult =
  | {
      readonly kind: 'found';
      readonly level: Exclude<AckLevel, 'none'>;
      readonly platformId: string | null;
      readonly platformAt: number | null;
    }
  | { readonly kind: 'failed'; readonly nack: Nack; readonly platformId: string | null }
  | { readonly kind: 'no_evidence' };

/** One status of a webhook call. */
export type StatusItem =
  | {
      readonly kind: 'status';
      readonly reference: string | null;
      readonly platformId: string | null;
      readonly level: Exclude<AckLevel, 'none'> | null;
      /** Set where the platform reports a failure; then `level` is null. */
      readonly nack: Nack | null;
      readonly at: number | null;
      readonly cumulative: boolean;
      /** When the platform says that it had the message, by the clock of its watermarks. */
      readonly platformAt?: number;
      /** The sender it concerns, where one address is told of several; `PlatformChannel.senderId` says which is meant. */
      readonly sender?: string;
    }
  | {
      readonly kind: 'watermark';
      readonly to: string;
      readonly level: Exclude<AckLevel, 'none'>;
      readonly watermark: number;
      /** Answers to sends tell no time: only an ack's `platformAt` says what is covered. */
      readonly timedByAcks?: true;
      readonly sender?: string;
    }
  /** A refusal of the whole channel or account that concerns no message. */
  | { readonly kind: 'channel'; readonly nack: Nack; readonly sender?: string }
  /** Well formed and none of our business, such as what a user writes; counted. */
  | { readonly kind: 'other'; readonly code: string }
  /** An item that this adapter cannot read; counted, never an error of its batch. */
  | { readonly kind: 'unreadable'; readonly code: string };

/** A request to the address that a platform was given for its webhooks. */
export interface WebhookCall {
  readonly method: 'GET' | 'POST';
  /** Path and query as they came: `/v1/webhooks/default/support?reference=…`. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The body, byte by byte as it came. */
  readonly raw: Uint8Array;
}

export type WebhookVerdict = { readonly kind: 'verified' } | RefusedCall;

export interface RefusedCall {
  readonly kind: 'refused';
  readonly code: 'signature_invalid' | 'signature_expired';
  /**
   * Asks the platform to repeat the call (503), where the fault may pass and it repeats after a 5xx only. Without it the
   * answer is 401, after which most platforms repeat a call, too.
   */
  readonly retry?: true;
}

/** One sender of a platform, ready to use. */
export interface PlatformChannel {
  /** The platform's own name of the sender, where one webhook address is told of several senders; else null. */
  readonly senderId: string | null;
  /**
   * Checks what a publisher wants sent, before it is accepted. Null where anything goes.
   * @throws RoomlineError `content_invalid`, naming field and rule
   */
  readonly checkContent: ((to: string, content: Readonly<Record<string, unknown>>) => void) | null;
  send(request: SendRequest): Promise<SendResult>;
  /** Absent where there is nothing to upload, or nothing shall be. */
  readonly prepare?: Preparer;
  /** Null where the platform has no lookup. */
  readonly lookup: ((reference: string, timeoutMs: number) => Promise<LookupResult>) | null;
  /**
   * Answers the question whether a webhook address is ours, which some platforms ask by GET. Null where none is asked.
   * @returns the text to answer with, or null where the question does not carry our token
   */
  readonly handshake: ((call: WebhookCall) => string | null) | null;
  /**
   * Verifies a webhook call over its raw bytes.
   * @param wallClockMs the receiver's wall clock, for the age of signatures
   */
  verify(call: WebhookCall, wallClockMs: number): WebhookVerdict;
  /** Reads a verified call; throws a coded error only where nothing of it can be read. */
  readStatuses(call: WebhookCall): readonly StatusItem[];
  close(): Promise<void>;
}

/** Every store of one database. */
export interface Stores {
  readonly rooms: RoomStore;
  readonly history: HistoryStore;
  readonly inbox: AckInbox;
  readonly ownership: OwnershipStore;
  readonly channels: ChannelStore;
  readonly deadLetters: DeadLetterStore;
}

export type { Outcome };
