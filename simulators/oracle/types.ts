import type { GroundTruthRecord } from '../platform/ground-truth.ts';

/** What the oracle is given, and what it says. It shares no code with the engine: only the logs of both ends meet here. */

export type { GroundTruthRecord };

export type Stream<T> = Iterable<T> | AsyncIterable<T>;

/** One line of the publisher's log, in publish order per room. */
export interface Published {
  /** The publisher's name for the message; the platform finds it in the content as `content.key`. Unique. */
  key: string;
  room: string;
  /** Digest of the content (`contentHash` of the platform), if the publisher computed one. */
  hash?: string;
  /** False: intake never confirmed it, so it may be missing; default true. */
  accepted?: boolean;
  /** Overrides the option of the same name. */
  ackTimeoutMs?: number;
}

export type Outcome = 'acked' | 'assumed' | 'failed' | 'expired' | 'cancelled' | 'skipped';

/** A message as the database knows it in the end; null outcome: not settled. */
export interface FinalRow {
  key: string;
  room: string;
  sequence: number;
  outcome: Outcome | null;
  attempts?: number;
  /** Room versions written by the first claim and by the settling; null without a claim or a settling. */
  claimVersion?: number | null;
  settleVersion?: number | null;
}

export interface OracleOptions {
  /** `none`: traffic that promises nothing; only losses, swaps and times are judged. Default `roomline`. */
  discipline?: 'roomline' | 'none';
  /** Statuses that settle a message; default delivered and read. A `failed` always does. */
  unlockedBy?: ('sent' | 'delivered' | 'read')[];
  /** The shortest time after the platform's answer in which a message may count as assumed; missing: not judged by time. */
  ackTimeoutMs?: number;
  /** How much earlier than that a timer may fire, as seen by the platform; default 10 ms. */
  toleranceMs?: number;
  /** After so many attempts a message may be given up; default 5. */
  maxAttempts?: number;
  /** Crashes, take-overs and operators' retries: extra copies that the platform's log cannot explain. Default 0. */
  copiesAllowed?: number;
  /** A copy that arrives so soon after a later message's first one was under way at the same time; default 50 ms. */
  raceMs?: number;
  /** Everything should have settled by the end of the log; default true. */
  drained?: boolean;
  /** A room with waiting messages and no activity for so long before the log's end is stuck; default 60 s. */
  stuckAfterMs?: number;
  /** Guards against an empty pass: faults that must have struck, by name, and how often at least. */
  expectedFaults?: Record<string, number>;
  /** The least number of messages that must have been published and accepted; default 1. */
  expectedMessages?: number;
  /** Examples kept per rule; default 5. */
  examples?: number;
}

export type Rule =
  /** Accepted, and neither taken by the platform nor reported as failed; or settled as sent without being so. */
  | 'R1_lost'
  | 'R1_settled_twice'
  | 'R1_unsettled'
  /** A later message reached the platform before an acked one. */
  | 'R2_overtaken'
  /** By room versions: claimed before the predecessor was settled. */
  | 'R2_versions'
  /** Sequences with a gap, or not in publish order. */
  | 'R2_sequence'
  /** A message began while its predecessor was neither acked, timed out, refused nor given up. */
  | 'R3_two_in_flight'
  /** More copies than unknown outcomes explain. */
  | 'R4_unexplained_copy'
  /** A copy after a later message had begun, neither held by the network nor from a stale worker. */
  | 'R4_late_copy'
  /** Copies of one message differ in reference, content or recipient; or one reference names two messages. */
  | 'C5_copies_differ'
  | 'R6_stuck'
  | 'swap_after_acked'
  /** Failed for good, though the platform neither refused it nor were the attempts used up. */
  | 'unjustified_failure'
  | 'webhook_forged_accepted'
  | 'webhook_valid_refused'
  | 'empty_pass';

export interface Violation {
  rule: Rule;
  /** Number of the room in the order of the publisher's log; never a recipient. */
  room?: number;
  /** Number of the message within its room, from 0, in publish order. */
  message?: number;
  detail: string;
}

export interface Verdict {
  clean: boolean;
  /** How often each broken rule was broken. */
  broken: Partial<Record<Rule, number>>;
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
    /** Copies beyond the first that a phone showed. */
    shown: number;
  };
  lateCopies: { held: number; stale: number; unexplained: number; first: number };
  /** Messages that a phone showed after a later one, by what became of the message. */
  swaps: { total: number; afterAcked: number; afterAssumed: number; afterOther: number; rooms: number };
  webhooks: { calls: number; forged: number; forgedAccepted: number; validRefused: number };
  progress: { pending: number; stuckRooms: number };
  /** Milliseconds on the platform's clock; durationMs is from the first receipt to the last message shown. */
  time: { firstReceiptAt: number | null; lastShownAt: number | null; durationMs: number | null };
  faults: Record<string, number>;
}
