import type { GroundTruthRecord } from '../platform/ground-truth.ts';
import type { CheckName, CheckResult } from './checks.ts';
import type { Latency } from './latency.ts';

/** What the oracle is given, and what it says. It shares no code with the engine: only the logs of both ends meet here. */

export type { GroundTruthRecord };

export type Stream<T> = Iterable<T> | AsyncIterable<T>;

/**
 * One line of the publisher's log, in publish order per room: for messages with a publisher's order in that order, and those
 * published after their number was given up where they were published.
 */
export interface Published {
  /** The publisher's name for the message; the platform finds it in the content as `content.key`. Unique. */
  key: string;
  /** Part of the message's identity: what names another run is another message, whatever its key. */
  run?: string;
  /** Where room names are unique only within a channel: part of the room's identity. */
  channel?: string;
  room: string;
  /** Digest of the content (`contentHash` of the platform), if the publisher computed one. */
  hash?: string;
  /** False: intake never confirmed it, so it may be missing; default true. */
  accepted?: boolean;
  /** Overrides the option of the same name. */
  ackTimeoutMs?: number;
}

export type Outcome = 'acked' | 'assumed' | 'failed' | 'expired' | 'cancelled' | 'skipped';

export const LEVELS = ['none', 'accepted', 'sent', 'delivered', 'read'] as const;
export type Level = (typeof LEVELS)[number];

/** One attempt as the history tells it. */
export interface AttemptRow {
  number: number;
  worker: string;
  generation: number;
  /** Unix ms. */
  begunAt: number;
  endedAt: number | null;
  result: 'accepted' | 'refused' | 'unknown' | 'interrupted' | null;
  code: string | null;
}

/** A message as the database knows it in the end; null outcome: not settled. What is left out is not judged. */
export interface FinalRow {
  key: string;
  run?: string;
  channel?: string;
  room: string;
  sequence: number;
  outcome: Outcome | null;
  /** Why it has this outcome. */
  reason?: string | null;
  /** The highest ack level on disk. */
  level?: Level;
  /** Code of a failure that the platform reported, at any time. */
  failure?: string | null;
  attempts?: AttemptRow[];
  /** Room versions written by the first claim and by the settling; null without a claim or a settling. */
  claimVersion?: number | null;
  settleVersion?: number | null;
  /** Unix ms. */
  acceptedAt?: number;
  settledAt?: number | null;
  /** Not settled because somebody ordered it so: its room is held or paused. */
  held?: boolean;
  /** How often it is among the dead letters. */
  deadLetters?: number;
  /** When this was read, Unix ms: what was answered later need not be in it. */
  readAt?: number;
}

/** An ack that is kept although nothing it could belong to is known. */
export interface InboxRow {
  platformId: string;
  level: Level;
  /** It tells of a failure. */
  failed?: boolean;
}

/** A worker as the ownership tables know it. */
export interface FenceRow {
  worker: string;
  /** Others have taken its rooms over, or it has given them up. */
  fenced: boolean;
  /** When its last lease ended or will end, Unix ms: it claims nothing after that. */
  leaseUntil?: number | null;
}

/** A time in which a worker was killed, frozen or cut off, until its rooms had to be taken over; Unix ms. */
export interface CrashWindow {
  from: number;
  until: number;
}

export interface OracleOptions {
  /** `none`: traffic that promises nothing; only losses, swaps and times are judged. Default `roomline`. */
  discipline?: 'roomline' | 'none';
  /**
   * Statuses that settle a message; default delivered and read. A `failed` always does. With `accepted`, for platforms
   * that tell nothing later, the definite answer that a message was accepted does, too.
   */
  unlockedBy?: ('accepted' | 'sent' | 'delivered' | 'read')[];
  /** The shortest time after the platform's answer in which a message may count as assumed; missing: not judged by time. */
  ackTimeoutMs?: number;
  /** How much earlier than that a timer may fire, as seen by the platform; default 10 ms. */
  toleranceMs?: number;
  /** After so many attempts a message may be given up; default 5. */
  maxAttempts?: number;
  /** C1: rooms existed before the rows begin, so that sequences need not begin at 1. Default false. */
  partialRooms?: boolean;
  /** C6: extra copies that nothing on record explains, such as operators' retries. Default 0. */
  copiesAllowed?: number;
  /** C6: an answer that the platform wrote may have got lost: an outcome that only the history calls unknown counts. */
  answersGetLost?: boolean;
  /** C6: take-overs explain a copy only if they began within one of these. Missing: at any time. */
  crashes?: CrashWindow[];
  /** C7, where no attempts are on record: a copy that arrives so soon after a later message was under way; default 50 ms. */
  raceMs?: number;
  /** Everything should have settled by the end of the log; default true. */
  drained?: boolean;
  /** C9: a room with waiting messages and no activity for so long is stuck; default 60 s. */
  stuckAfterMs?: number;
  /** C9: the quiet tail, when everything was published and no fault was active, Unix ms. Missing: the end of the log. */
  tail?: { from: number; until: number };
  /** C10: `untouched` tells the rooms that no fault was aimed at (default all), `baseline` is a quiet run's latency. */
  isolation?: { untouched?: (room: string) => boolean; baseline?: Latency; most?: number };
  /** C11: faults that must have struck, by name, and how often at least. */
  expectedFaults?: Record<string, number>;
  /** C11: faults that the platform's log does not know of, and how often they struck. */
  firedFaults?: Record<string, number>;
  /** C11: the least number of messages that must have been published and accepted; default 1. */
  expectedMessages?: number;
  /** C11: the load that was planned, of which at least 95 % must have been accepted. */
  plannedMessages?: number;
  /** C11: how many holders were killed, each of which must have been succeeded by another one. */
  killedHolders?: number;
  /** C11: checks that must have had something to look at. */
  required?: readonly CheckName[];
  /** Checks to leave out: for tests that show what a judge without them would miss. */
  without?: readonly CheckName[];
  /** Examples kept per rule; default 5. */
  examples?: number;
}

export interface Violation {
  rule: string;
  /** Number of the room in the order of the publisher's log; never a recipient. */
  room?: number;
  /** Number of the message within its room, from 0, in publish order. */
  message?: number;
  detail: string;
}

export interface Verdict {
  /** No check is broken. A check that had nothing to look at breaks nothing, unless it was `required`. */
  clean: boolean;
  /** C1 to C12. */
  checks: CheckResult[];
  /** How often each broken rule was broken. */
  broken: Record<string, number>;
  /** Some examples of each. */
  violations: Violation[];
  rooms: number;
  messages: {
    published: number;
    accepted: number;
    /** Taken by the platform at least once. */
    reachedPlatform: number;
    shown: number;
    lost: number;
    outcomes: Partial<Record<Outcome, number>>;
    /** Share of begun successors whose predecessor was acked: order proven. */
    orderProven: number;
  };
  receipts: { total: number; refused: number; unknownOutcomes: number; strangers: number };
  duplicates: {
    /** Receipts beyond the first that do not follow a definite refusal. */
    extraReceipts: number;
    explained: number;
    unexplained: number;
    allowed: number;
    /** Of the explained ones: by the platform's own log, by the history alone, by a take-over. */
    because: { unknown: number; recorded: number; takenOver: number };
    /** Copies beyond the first that a phone showed. */
    shown: number;
  };
  /** By why they may be late; `first`: nothing of the message had come before. */
  lateCopies: { held: number; stale: number; unexplained: number; first: number };
  /** Messages that a phone showed after a later one, by what became of the message. */
  swaps: { total: number; afterAcked: number; afterAssumed: number; afterOther: number; rooms: number };
  /** `kept`: told of with a 2xx, for ids that nobody could know. */
  webhooks: { calls: number; forged: number; forgedAccepted: number; validRefused: number; kept: number };
  progress: { pending: number; stuckRooms: number };
  /** Of the untouched rooms. */
  latency: Latency;
  /** Milliseconds on the platform's clock; durationMs is from the first receipt to the last message shown. */
  time: { firstReceiptAt: number | null; lastShownAt: number | null; durationMs: number | null };
  faults: Record<string, number>;
}
