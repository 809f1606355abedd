/** What an operator's wish comes to: the change to store, and what would move for it. Pure; refuses what cannot be. */
import { type Fault, RoomlineError } from '../errors.ts';
import type { ShardMove } from './fleet-ports.ts';
import type { FleetChange, FleetPicture, RegisteredWorker, ShardState } from './operator-ports.ts';
import { planOf } from './plan.ts';

/** From `first` to `last`, both included. */
export interface ShardRange {
  readonly first: number;
  readonly last: number;
}

export interface FleetWishes {
  /** By the names of nodes; null removes the operator's word. */
  readonly weights: ReadonlyMap<string, number | null>;
  /** To the node of a name; null removes the pins. */
  readonly pins: readonly { readonly shards: ShardRange; readonly name: string | null }[];
  /** Once, to a worker by its id or the name of its node. */
  readonly moves: readonly { readonly shards: ShardRange; readonly worker: string }[];
}

export interface WorkerLoad {
  readonly worker: string;
  readonly name: string;
  /** Shards that it holds and keeps, or that are on their way to it. */
  readonly before: number;
  readonly after: number;
}

export interface DecidedChange {
  readonly change: FleetChange;
  /** What moves for it, ascending by shard; `to` null: an heir is withdrawn. */
  readonly moves: readonly ShardMove[];
  readonly workers: readonly WorkerLoad[];
  /** What is taken and may not be meant. */
  readonly warnings: readonly Fault[];
}

export const MAX_WEIGHT = 1_000;
/** Moved in one statement, while which nobody joins or leaves. */
const MAX_MOVES = 4_096;

/**
 * @throws RoomlineError `weight_invalid`, `shard_out_of_range`, `shard_repeated`, `shard_pinned`, `field_invalid` for too
 *   many moves, `worker_not_found`, `worker_ambiguous`, `worker_takes_none` or, without `force`, `worker_last`
 */
export function decideRebalance(picture: FleetPicture, wishes: FleetWishes, force: boolean): DecidedChange {
  for (const [name, weight] of wishes.weights) checkWeight(name, weight);
  const pins = expand(picture, 'pins', wishes.pins, ({ name }) => name);
  const changed = { weights: wishes.weights, pins, drain: null, moves: [] };
  const then = after(picture, changed);
  const targets = new Map<string, RegisteredWorker>();
  for (const { worker } of wishes.moves) if (!targets.has(worker)) targets.set(worker, takerOf(then, worker));
  const wanted = expand(picture, 'moves', wishes.moves, ({ worker }) => targets.get(worker) as RegisteredWorker);
  if (wanted.size > MAX_MOVES)
    throw new RoomlineError('field_invalid', { field: 'moves', rule: `at most ${MAX_MOVES} shards` });
  for (const [shard, { name }] of wanted) {
    const pinnedTo = then.pins.get(shard);
    if (pinnedTo === undefined || pinnedTo === name) continue;
    throw new RoomlineError('shard_pinned', { detail: `Shard ${shard} is pinned to ${pinnedTo}`, field: 'moves' });
  }
  const moves = [...wanted].flatMap(([shard, { worker }]) => {
    const { owner, heir } = picture.shards[shard] as ShardState;
    if ((heir ?? owner) === worker) return [];
    return [{ shard, from: owner, to: worker === owner ? null : worker }];
  });
  const decided = decide(picture, { ...changed, moves }, force);
  return { ...decided, warnings: [...nameWarnings(then, wishes), ...undone(picture, decided, wanted)] };
}

/** @throws RoomlineError `worker_not_found`, `worker_ambiguous`, `worker_takes_none` or, without `force`, `worker_last` */
export function decideDrain(picture: FleetPicture, named: string, draining: boolean, force: boolean): DecidedChange {
  const { worker, roles } = find(picture, named);
  if (!roles.includes('worker')) {
    throw new RoomlineError('worker_takes_none', { detail: 'It has not the role worker and never holds a shard' });
  }
  return decide(picture, { weights: new Map(), pins: new Map(), drain: { worker, draining }, moves: [] }, force);
}

/** A worker by its id, else the one of that name: those whose leases have ended count only where no other has it. */
export function find(picture: FleetPicture, named: string): RegisteredWorker {
  const byId = picture.members.find(({ worker }) => worker === named);
  if (byId !== undefined) return byId;
  const ofName = picture.members.filter(({ name }) => name === named);
  const living = ofName.filter(({ leaseLeftMs }) => leaseLeftMs > 0);
  const [found, other] = living.length > 0 ? living : ofName;
  if (found === undefined) throw new RoomlineError('worker_not_found');
  if (other === undefined) return found;
  const ids = (living.length > 0 ? living : ofName).map(({ worker }) => worker).join(', ');
  throw new RoomlineError('worker_ambiguous', { detail: `Several processes have this name: ${ids}` });
}

function decide(picture: FleetPicture, change: FleetChange, force: boolean): DecidedChange {
  const then = after(picture, change);
  if (takers(picture).length > 0 && takers(then).length === 0 && !force) throw new RoomlineError('worker_last');
  const plan = planOf(then);
  const settled = after(then, { ...NOTHING, moves: plan }).shards;
  const moves: ShardMove[] = [];
  settled.forEach(({ owner, heir }, shard) => {
    const before = picture.shards[shard] as ShardState;
    if (owner === before.owner && heir === before.heir) return;
    moves.push({ shard, from: before.owner, to: owner === before.owner ? heir : owner });
  });
  const counts = (shards: readonly ShardState[]): ReadonlyMap<string | null, number> => {
    const found = new Map<string | null, number>();
    for (const { owner, heir } of shards) found.set(heir ?? owner, (found.get(heir ?? owner) ?? 0) + 1);
    return found;
  };
  const [countsBefore, countsAfter] = [counts(picture.shards), counts(settled)];
  const workers = picture.members
    .filter(({ roles }) => roles.includes('worker'))
    .map(({ worker, name }) => {
      return { worker, name, before: countsBefore.get(worker) ?? 0, after: countsAfter.get(worker) ?? 0 };
    });
  return { change, moves, workers, warnings: [] };
}

const NOTHING: FleetChange = { weights: new Map(), pins: new Map(), drain: null, moves: [] };

/** The fleet as it is once that is stored. */
function after(picture: FleetPicture, { weights, pins, drain, moves }: FleetChange): FleetPicture {
  const merged = new Map(picture.pins);
  for (const [shard, name] of pins) {
    if (name === null) merged.delete(shard);
    else merged.set(shard, name);
  }
  const shards = [...picture.shards];
  for (const { shard, from, to } of moves) {
    const before = shards[shard] as ShardState;
    shards[shard] = from === null ? { ...before, owner: to, heir: null } : { ...before, heir: to };
  }
  return {
    ...picture,
    members: picture.members.map((member) => {
      const said = weights.get(member.name);
      return {
        ...member,
        weight: said === undefined ? member.weight : (said ?? member.ownWeight),
        draining: drain?.worker === member.worker ? drain.draining : member.draining,
      };
    }),
    pins: merged,
    shards,
  };
}

/** Those that are given shards. */
function takers({ members }: FleetPicture): RegisteredWorker[] {
  return members.filter(
    ({ roles, weight, draining, leaseLeftMs }) =>
      roles.includes('worker') && weight > 0 && !draining && leaseLeftMs > 0,
  );
}

function takerOf(picture: FleetPicture, named: string): RegisteredWorker {
  const found = find(picture, named);
  if (takers(picture).includes(found)) return found;
  const detail = `${named} has not the role worker, drains, has no weight, or its lease has ended`;
  throw new RoomlineError('worker_takes_none', { detail, field: 'moves' });
}

function checkWeight(name: string, weight: number | null): void {
  if (weight === null || (weight >= 0 && weight <= MAX_WEIGHT)) return;
  throw new RoomlineError('weight_invalid', { field: `weights.${name}`, rule: `from 0 to ${MAX_WEIGHT}, or null` });
}

/** By shard. */
function expand<T extends { readonly shards: ShardRange }, V>(
  { shards: { length } }: FleetPicture,
  field: string,
  entries: readonly T[],
  read: (entry: T) => V,
): Map<number, V> {
  const found = new Map<number, V>();
  entries.forEach((entry, index) => {
    const { first, last } = entry.shards;
    const where = { field: `${field}[${index}]` };
    const isRange = Number.isInteger(first) && Number.isInteger(last) && first >= 0 && first <= last && last < length;
    if (!isRange)
      throw new RoomlineError('shard_out_of_range', { ...where, rule: `whole numbers, 0 to ${length - 1}` });
    for (let shard = first; shard <= last; shard++) {
      if (found.has(shard))
        throw new RoomlineError('shard_repeated', { ...where, detail: `Shard ${shard} is there twice` });
      found.set(shard, read(entry));
    }
  });
  return found;
}

function nameWarnings(then: FleetPicture, { weights, pins }: FleetWishes): Fault[] {
  const names = new Set(then.members.map(({ name }) => name));
  const absent = [...weights].filter(([name, weight]) => weight !== null && !names.has(name));
  const taking = takers(then).map(({ name }) => name);
  const targets = new Set(pins.flatMap(({ name }) => (name === null ? [] : [name])));
  return [
    ...absent.map(([name]) => ({
      path: `weights.${name}`,
      code: 'name_unknown',
      rule: 'the name of a node that is registered',
      action: 'Correct the name; or leave it: the weight counts as soon as a node of this name comes.',
    })),
    ...[...targets]
      .filter((name) => !taking.includes(name))
      .map((name) => ({
        path: `pins to ${name}`,
        code: 'pin_waits',
        rule: 'the name of a node that takes shards',
        action: 'Correct the name; or leave it: the pins count as soon as such a node takes shards.',
      })),
    ...[...targets]
      .filter((name) => taking.indexOf(name) !== taking.lastIndexOf(name))
      .map((name) => ({
        path: `pins to ${name}`,
        code: 'name_shared',
        rule: 'a name that one node alone has',
        action: 'Give each node a name of its own (node.name): the shards go to the one of the lowest id.',
      })),
  ];
}

/** Moves that the loads take back. */
function undone(
  { shards }: FleetPicture,
  { moves }: DecidedChange,
  wanted: ReadonlyMap<number, RegisteredWorker>,
): Fault[] {
  const decided = new Map(moves.map((move) => [move.shard, move]));
  const lost = [...wanted].filter(([shard, { worker }]) => {
    const { owner, heir } = shards[shard] as ShardState;
    const move = decided.get(shard);
    return (move === undefined ? (heir ?? owner) : (move.to ?? move.from)) !== worker;
  });
  if (lost.length === 0) return [];
  const rule = 'loads that stay within the band';
  const action = `${lost.length} of the moved shards go elsewhere, as the loads demand: pin them, or change weights.`;
  return [{ path: 'moves', code: 'move_undone', rule, action }];
}
