/** Workers and shards in the words of a test. */
import type { OwnershipStore, WorkerRegistration } from '../../src/engine/fleet-ports.ts';

export const ALL_ROLES = ['intake', 'api', 'webhook', 'worker'] as const;

export function registrationOf(
  worker: string,
  leaseMs: number,
  more: Partial<WorkerRegistration> = {},
): WorkerRegistration {
  return { worker, name: worker, roles: ALL_ROLES, weight: 1, leaseMs, hears: null, ...more };
}

/** Gives the worker every shard that has no owner or a fenced one; all that it owns then. */
export async function takeFreeShards(store: OwnershipStore, worker: string): Promise<number[]> {
  const { membership, shards } = await store.view();
  const moves = shards.flatMap(({ owner }, shard) => (owner === null ? [{ shard, from: null, to: worker }] : []));
  await store.applyPlan(membership, moves);
  return (await store.ownShards(worker)).map(({ shard }) => shard);
}
