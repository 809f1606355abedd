/** Which shards are to move for the members that are there. */
import { assign } from '../room/assignment.ts';
import type { FleetMember, FleetView, ShardMove } from './fleet-ports.ts';

/**
 * A shard on its way to a living heir counts as the heir's, so that a plan which comes on top of another changes no more
 * than it must. The shards of a worker whose lease has ended stay until it is fenced: that is another membership.
 */
export function planOf({ members, shards, pins }: FleetView): ShardMove[] {
  const workers = members.filter(({ roles }) => roles.includes('worker'));
  const living = workers.filter(({ leaseLeftMs }) => leaseLeftMs > 0);
  const ended = new Set(workers.filter(({ leaseLeftMs }) => leaseLeftMs <= 0).map(({ worker }) => worker));
  const takers = new Set(living.filter((member) => weightOf(member) > 0).map(({ worker }) => worker));

  const movable = shards.map((_, shard) => shard).filter((shard) => !ended.has(shards[shard]?.owner ?? ''));
  const owners = movable.map((shard) => {
    const { owner = null, heir = null } = shards[shard] ?? {};
    return owner !== null && heir !== null && takers.has(heir) ? heir : owner;
  });
  const { wanted } = assign({
    owners,
    workers: living.map((member) => ({ worker: member.worker, weight: weightOf(member) })),
    pins: pinned(movable, pins, living),
  });

  const moves: ShardMove[] = [];
  movable.forEach((shard, index) => {
    const { owner = null, heir = null } = shards[shard] ?? {};
    const to = wanted[index] ?? null;
    if (to === owner) {
      if (heir !== null) moves.push({ shard, from: owner, to: null });
    } else if (to !== null && (owner === null || to !== heir)) moves.push({ shard, from: owner, to });
  });
  return moves;
}

function weightOf({ weight, draining }: FleetMember): number {
  return draining ? 0 : weight;
}

/** Pins as `assign` knows them: by place among the movable shards, to the worker that has the name. */
function pinned(
  movable: readonly number[],
  pins: ReadonlyMap<number, string>,
  living: readonly FleetMember[],
): ReadonlyMap<number, string> {
  const byName = new Map<string, string>();
  for (const member of living) {
    const known = byName.get(member.name);
    if (weightOf(member) > 0 && (known === undefined || member.worker < known)) byName.set(member.name, member.worker);
  }
  const places = new Map<number, string>();
  movable.forEach((shard, index) => {
    const worker = byName.get(pins.get(shard) ?? '');
    if (worker !== undefined && pins.has(shard)) places.set(index, worker);
  });
  return places;
}
