/**
 * Ownership in equal shares: each process has its part of the shards, as a fleet at rest has, and limits are divided by
 * it. The shards of a dead process go to its successor in the same slot, or to whoever comes where there is none.
 */
import type { OwnershipStore } from '../../src/engine/ports.ts';

export interface ShareOptions {
  readonly shards: number;
  readonly processes: number;
  /** In which slot a worker's process stands. */
  readonly slotOf: (worker: string) => number;
}

export function inShares(store: OwnershipStore, { shards, processes, slotOf }: ShareOptions): OwnershipStore {
  const owners: (string | null)[] = Array.from({ length: shards }, () => null);
  const fenced = new Map<string, boolean>();
  const isServed = (slot: number): boolean =>
    [...fenced].some(([worker, isFenced]) => !isFenced && slotOf(worker) === slot);
  return {
    shardCount: () => store.shardCount(),
    register: (worker, leaseMs) => {
      fenced.set(worker, false);
      return store.register(worker, leaseMs);
    },
    renew: (worker, leaseMs) => store.renew(worker, leaseMs),
    expiredWorkers: () => store.expiredWorkers(),
    fence: async (worker) => {
      const done = await store.fence(worker);
      if (done) fenced.set(worker, true);
      return done;
    },
    takeShards: async (worker) => {
      if (fenced.get(worker) !== false) return [];
      const own = slotOf(worker);
      const taken: number[] = [];
      owners.forEach((owner, shard) => {
        const home = shard % processes;
        const isFree = owner === null ? home === own : fenced.get(owner) === true && (home === own || !isServed(home));
        if (owner !== worker && !isFree) return;
        owners[shard] = worker;
        taken.push(shard);
      });
      return taken;
    },
    raiseGeneration: (worker) => store.raiseGeneration(worker),
    release: async (worker) => {
      await store.release(worker);
      fenced.set(worker, true);
    },
  };
}
