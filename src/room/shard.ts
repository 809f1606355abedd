import type { RoomKey } from './room.ts';

/** Hash bucket of a room: FNV-1a over its key's UTF-16 units, mixed, modulo the number of shards. */
export function shardOf(key: RoomKey, shards: number): number {
  let hash = 0x811c9dc5;
  for (const part of [key.tenant, key.channel, key.room]) {
    for (let i = 0; i < part.length; i++) hash = step(hash, part.charCodeAt(i));
    hash = step(hash, 0xffff);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return (hash >>> 0) % shards;
}

function step(hash: number, unit: number): number {
  const low = Math.imul(hash ^ (unit & 0xff), 0x01000193);
  return Math.imul(low ^ (unit >>> 8), 0x01000193);
}

/** A lease as its holder may trust it: for less than its stored life, on the monotonic clock. */
export interface Lease {
  /** Monotonic ms taken before the renewal's query was sent. */
  readonly renewedAtMonotonicMs: number;
  readonly lifeMs: number;
}

/**
 * How long the owner of a shard may take to hand it over, in ms. It hears of the heir with its next renewal, begins within
 * a tenth of a lease, and ends the longest send that may be configured: lease - renewal - 500 ms. A tenth of a lease and
 * 500 ms are left to store the outcome and to hand over. Nobody's safety rests on it, but an owner that takes longer
 * loses its whole lease.
 */
export function handOverLimitMs(leaseMs: number): number {
  return (leaseMs * 6) / 5;
}

/** Kept back from a lease's life: the spread between two clocks' speeds over one lease. */
export const LEASE_MARGIN_MS = 100;

/** Monotonic ms up to which the holder may act on the lease. */
export function trustedUntil(lease: Lease): number {
  return lease.renewedAtMonotonicMs + lease.lifeMs - Math.min(LEASE_MARGIN_MS, lease.lifeMs / 10);
}

/** A send may begin only if the lease outlives the longest that the send can take. */
export function outlives(lease: Lease, monotonicNowMs: number, sendTimeoutMs: number): boolean {
  return monotonicNowMs + sendTimeoutMs <= trustedUntil(lease);
}
