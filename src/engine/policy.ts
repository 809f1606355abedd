import type { Envelope, Policy, Room } from '../room/room.ts';
import type { AdaptiveAckTimeout } from './ack-delay.ts';
import type { ChannelKey, RateLimit, StoredEnvelope, StoredRoom } from './ports.ts';

/** What the engine knows of one configured channel; all durations in ms. */
export interface ChannelSettings {
  readonly key: ChannelKey;
  readonly account: string;
  /** Name of the platform's adapter. */
  readonly platform: string;
  readonly policy: Policy;
  /** X follows the channel's acks, up to the policy's; left out: it is the policy's. */
  readonly adaptiveAckTimeout?: AdaptiveAckTimeout;
  readonly sendTimeoutMs: number;
  readonly maxConcurrentSends: number;
  /** What the platform takes of this sender, and of all senders of its account; `perSecond` 0: no limit. */
  readonly channelLimit: RateLimit;
  readonly accountLimit: RateLimit;
  /** `always`: statuses carry our reference, so that no platform id needs to be kept. */
  readonly echoesReference: 'always' | 'never';
  readonly ackOutage: { readonly afterMs: number; readonly minTimeouts: number; readonly gapMs: number };
  readonly probe: { readonly initialMs: number; readonly maxMs: number };
  /** What is done about numbers that are missing in a publisher's order; left out: `ORDER_GAP`. */
  readonly orderGap?: OrderGapPolicy;
}

export interface OrderGapPolicy {
  /** How long the messages behind them wait. */
  readonly timeoutMs: number;
  /** Then: go on without them, or wait for an operator. */
  readonly policy: 'skip' | 'hold';
}

export const ORDER_GAP: OrderGapPolicy = { timeoutMs: 30_000, policy: 'skip' };

/** Names made before, by tenant and channel: asked for many times for each message. Bounded against names that callers think up. */
const names = new Map<string, Map<string, string>>();
const MAX_NAMES = 10_000;
let namesKept = 0;

export function channelName({ tenant, channel }: ChannelKey): string {
  const known = names.get(tenant)?.get(channel);
  if (known !== undefined) return known;
  const name = `${tenant}/${channel}`;
  if (namesKept < MAX_NAMES) {
    const ofTenant = names.get(tenant) ?? new Map<string, string>();
    names.set(tenant, ofTenant.set(channel, name));
    namesKept++;
  }
  return name;
}

/** The channel's policy with the message's own wishes laid over it. */
export function envelopeOf(stored: StoredEnvelope, policy: Policy): Envelope {
  const own = stored.ackTimeoutMs !== null || stored.failurePolicy !== null;
  return {
    sequence: stored.sequence,
    messageId: stored.messageId,
    acceptedAt: stored.acceptedAt,
    notBefore: stored.notBefore,
    expiresAt: stored.expiresAt,
    cancelledBy: stored.cancelledBy,
    policy: own
      ? {
          ...policy,
          ackTimeoutMs: stored.ackTimeoutMs ?? policy.ackTimeoutMs,
          failurePolicy: stored.failurePolicy ?? policy.failurePolicy,
          ...(stored.ackTimeoutMs === null ? {} : { ownAckTimeout: true }),
        }
      : policy,
  };
}

export function roomOf(stored: StoredRoom, policy: Policy): Room {
  return { ...stored.row, envelopes: stored.envelopes.map((one) => envelopeOf(one, policy)) };
}

/**
 * For rooms of a channel that the configuration no longer names: they keep their messages and wait.
 * No attempt ever begins, because a channel that is not configured grants no permit.
 */
export const POLICY_OF_MISSING_CHANNEL: Policy = {
  unlockedBy: 'delivered',
  ackTimeoutMs: 30_000,
  minGapMs: 0,
  roomLimit: { everyMs: 0, burst: 1 },
  maxAttempts: 5,
  backoff: { initialMs: 1_000, maxMs: 60_000, factor: 2, jitter: 0.2 },
  unknownGraceMs: 2_000,
  unknownPolicy: 'hold',
  failurePolicy: 'hold',
};
