/** A world as plain data. It is drawn from the seed before anything runs, so that it can be cut down and kept. */
import { FAILPOINTS, type FailpointName } from './failpoints.ts';

/** Probabilities of one request, or of the statuses that follow its acceptance. */
export interface PlatformFaults {
  readonly dropRequest: number;
  readonly dropAnswer: number;
  /** It arrives after its sender gave up. */
  readonly holdRequest: number;
  readonly serverErrorBefore: number;
  readonly serverErrorAfter: number;
  readonly messageRefusal: number;
  readonly roomLimit: number;
  readonly permanentRefusal: number;
  readonly channelRefusal: number;
  readonly accountRefusal: number;
  readonly connectFailure: number;
  readonly ackLost: number;
  readonly ackEarly: number;
  readonly ackLate: number;
  readonly ackDoubled: number;
  readonly failedStatus: number;
  readonly contradiction: number;
  /** An ack for an id that nobody has, for another channel's message, or with a reference that is none. */
  readonly strayAck: number;
  /** Several statuses in one webhook call, out of order, with an item that cannot be read. */
  readonly badBatch: number;
  readonly futureWatermark: number;
}

/** Probabilities of one statement. */
export interface StoreFaults {
  readonly failBefore: number;
  readonly loseBefore: number;
  readonly runThenFail: number;
  /** Its sender is told that the answer was lost; it is executed long after. */
  readonly executeLate: number;
  /** It is executed, or answered, only after seconds. */
  readonly stall: number;
  /** Some rows of a batch are locked by somebody else. */
  readonly busy: number;
}

export interface FeedFaults {
  readonly redeliver: number;
  readonly duplicate: number;
  /** Later messages are handed out before earlier ones are acknowledged. */
  readonly overlap: number;
  /** The stream moves to another process while the first still has deliveries in hand. */
  readonly move: number;
  /** The same id again with another body. */
  readonly conflict: number;
}

export type Outage = 'none' | 'down' | 'black_hole' | 'unauthorized' | 'throttled';
export type Order = 'pause' | 'resume' | 'skip' | 'cancel' | 'retry';

interface At {
  /** Virtual ms since the world began. */
  readonly at: number;
}

/** What is done to the world at a time. `slot` names the process that stands there then. */
export type Act = At &
  (
    | { readonly kind: 'crash'; readonly slot: number; readonly downMs: number }
    | { readonly kind: 'pause'; readonly slot: number; readonly forMs: number }
    | { readonly kind: 'stop'; readonly slot: number; readonly downMs: number }
    /** The process freezes, another is started in its place, and the frozen one comes back. */
    | { readonly kind: 'replace'; readonly slot: number; readonly forMs: number }
    | { readonly kind: 'wall_step'; readonly slot: number; readonly byMs: number }
    | { readonly kind: 'store_outage'; readonly forMs: number }
    /** One process's link to the store: statements do not arrive, or their answers do not. */
    | { readonly kind: 'cut'; readonly slot: number; readonly forMs: number; readonly way: 'to' | 'from' }
    | { readonly kind: 'platform'; readonly outage: Exclude<Outage, 'none'>; readonly forMs: number }
    | { readonly kind: 'ack_outage'; readonly forMs: number }
    | {
        readonly kind: 'operate';
        readonly slot: number;
        readonly order: Order;
        readonly room: string;
        readonly sequence: number;
      }
  );

export interface FailpointPlan {
  readonly name: FailpointName;
  readonly effect: 'crash' | 'pause' | 'delay';
  /** How long it is paused or delayed, or until a replacement is started. */
  readonly forMs: number;
  readonly probability: number;
  readonly most: number;
}

export interface MessagePlan {
  readonly id: string;
  readonly at: number;
  readonly notBefore: number | null;
  readonly expiresAt: number | null;
  /** Id of an earlier message that it replaces; plans that were written down before this was possible have none. */
  readonly supersedes?: string;
  /** Its publisher's number; rooms of plans that were written down before there were any have none. */
  readonly order?: number;
}

export interface RoomPlan {
  readonly name: string;
  /** The acks of `mute` never come. */
  readonly channel: 'main' | 'mute';
  readonly source: 'pubsub' | 'http';
  readonly messages: readonly MessagePlan[];
}

export interface ChannelPlan {
  readonly unlockedBy: 'accepted' | 'sent' | 'delivered' | 'read';
  readonly ackTimeoutMs: number;
  readonly muteAckTimeoutMs: number;
  readonly minGapMs: number;
  /** X follows the acks; plans that were written down before that was possible have a fixed one. */
  readonly adaptive?: boolean;
  /** What one room may be sent; plans that were written down before there was such a limit have none. */
  readonly roomLimit?: { readonly everyMs: number; readonly burst: number };
  /** What is done about missing numbers; plans without any have none. */
  readonly orderGap?: { readonly timeoutMs: number; readonly policy: 'skip' | 'hold' };
  readonly maxAttempts: number;
  readonly unknownPolicy: 'resend' | 'assume' | 'hold';
  readonly failurePolicy: 'move_on' | 'hold';
  readonly maxConcurrentSends: number;
  readonly echoesReference: boolean;
  readonly delivery: 'single' | 'cumulative' | 'watermark';
  readonly lookup: boolean;
  /** It recognises a reference and shows no second copy. */
  readonly idempotent: boolean;
}

export interface EnginePlan {
  readonly lanes: number;
  readonly maxBatchRows: number;
  readonly lingerMs: number;
  readonly acceptanceLingerMs: number;
  readonly bodyCacheBytes: number;
}

export interface SignalsPlan {
  /** Probabilities of one signal. */
  readonly lose: number;
  readonly double: number;
  readonly late: number;
  /** While nothing comes. */
  readonly outages: readonly { readonly at: number; readonly forMs: number }[];
}

export interface Plan {
  readonly seed: number;
  /** `safety`: faults to the end, nothing drains. `liveness`: they end, and everything must settle in time. */
  readonly mode: 'safety' | 'liveness';
  /** What never gets well again in liveness mode; another process works on. */
  readonly lasting: 'nothing' | 'dead_process' | 'paused_process';
  readonly faultsEndMs: number;
  readonly processes: number;
  /** Machines' clocks differ in origin, wall time and speed. */
  readonly skewedClocks: boolean;
  readonly engine: EnginePlan;
  readonly channel: ChannelPlan;
  readonly rooms: readonly RoomPlan[];
  readonly acts: readonly Act[];
  readonly failpoints: readonly FailpointPlan[];
  readonly platform: PlatformFaults;
  readonly store: StoreFaults;
  readonly feed: FeedFaults;
  /** Null, or left out in plans that were written down before there were any: sweeps find everything. */
  readonly signals?: SignalsPlan | null;
}

export const SHARDS = 8;
export const LEASE_MS = 2_000;
export const RENEW_MS = 400;
export const SWEEP_MS = 1_000;
/** How often rows written lately are looked at where no signals can be expected. */
export const LOOK_MS = 250;
/** How often the fleet is looked at. */
export const POLL_MS = 250;
export const SEND_TIMEOUT_MS = 1_000;

/** From the faults' end until everything has settled, at the latest (R6). */
export function drainBoundMs(plan: Plan): number {
  // Taking over, opening the channel again by its probe, the last webhook calls that are still repeated.
  const toRecoverMs = LEASE_MS + 2 * SWEEP_MS + 2_000 + 5_000;
  const perRoom = plan.rooms.map(({ channel, messages }) => {
    const ackTimeoutMs = channel === 'mute' ? plan.channel.muteAckTimeoutMs : plan.channel.ackTimeoutMs;
    const paceMs = plan.channel.minGapMs + (plan.channel.roomLimit?.everyMs ?? 0);
    // Each gap of its order lasts its time, or until somebody looks after it, who does once a sweep.
    const ordered = messages.filter(({ order }) => order !== undefined).length;
    const gapsMs = ordered * ((plan.channel.orderGap?.timeoutMs ?? 0) + 2 * SWEEP_MS);
    // Each message: a permit and an attempt, its ack timeout, its pace, and once somebody who looks after a hold.
    return gapsMs + messages.length * (ackTimeoutMs + paceMs + SEND_TIMEOUT_MS + 1_000);
  });
  return toRecoverMs + Math.max(0, ...perRoom);
}

/** A plan that was read from a file; only its outline is checked, as it was written by this program. */
export function readPlan(text: string): Plan {
  const plan = JSON.parse(text) as Plan;
  if (!Array.isArray(plan.rooms) || !Array.isArray(plan.acts) || typeof plan.seed !== 'number') {
    throw new Error('this file holds no plan of a world');
  }
  const strange = plan.failpoints.find(({ name }) => !FAILPOINTS.includes(name));
  if (strange !== undefined) throw new Error(`there is no failpoint ${strange.name}`);
  return plan;
}
