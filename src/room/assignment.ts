/**
 * Who should own which shard: consistent hashing with bounded loads that starts from the present owners. Pure: the same
 * owners, workers and pins give the same assignment in every process, in whatever order the workers are named.
 *
 *   A1  a worker of weight 0 (draining) is given nothing and keeps nothing, unless no live worker has a weight
 *   A2  loads end within the band: at most `bound` times and at least 1/`bound` of the weighted share, or the share
 *       rounded up and down
 *   A3  a shard moves only because its owner is gone or drains, because of a pin, or because a load is outside the band
 *   A4  one call converges: assigning again from what it wants moves nothing
 *   A5  a pin to a worker that lives and has a weight is kept, whatever the loads; any other pin counts for nothing
 */

export interface WeightedWorker {
  readonly worker: string;
  /** Its share relative to the others', finite and not negative; 0 drains it. */
  readonly weight: number;
}

export interface AssignmentInput {
  /** Each shard's present owner, by shard; null where it has none. An owner that is not among `workers` is gone. */
  readonly owners: readonly (string | null)[];
  /** The live workers, each once, in any order. */
  readonly workers: readonly WeightedWorker[];
  /** Shards that an operator has given to a worker. */
  readonly pins?: ReadonlyMap<number, string>;
  /** How far a load may stray from its share before anything moves for it, 1 or more; 1 is as even as can be. */
  readonly bound?: number;
}

export interface Move {
  readonly shard: number;
  readonly from: string | null;
  readonly to: string;
}

export interface Assignment {
  /** The owner that each shard should have. Null where it has no live owner and no worker has a weight. */
  readonly wanted: readonly (string | null)[];
  /** What has to change, ascending by shard. */
  readonly moves: readonly Move[];
}

/** Three in a hundred: small changes of weights move nothing, and max/mean stays below 1.06 with whole shards. */
export const DEFAULT_BOUND = 1.03;

/** A worker with a weight, while it is decided what it gives and gets. */
interface Seat {
  readonly worker: string;
  readonly weight: number;
  readonly hash: number;
  /** Shards that pins give it. */
  pinned: number;
  load: number;
  /** Its weighted share of the shards, not rounded. */
  share: number;
  /** The share as a whole number; all targets together are all shards. */
  target: number;
  gives: number;
  gets: number;
}

/** Throws a `RangeError` on a weight or bound that is not one, and on a worker named twice. */
export function assign({ owners, workers, pins = new Map(), bound = DEFAULT_BOUND }: AssignmentInput): Assignment {
  const seats = seatsOf(workers, bound);
  const wanted: (string | null)[] = [...owners];
  if (seats.length === 0) {
    const live = new Set(workers.map(({ worker }) => worker));
    return { wanted: wanted.map((owner) => (owner !== null && live.has(owner) ? owner : null)), moves: [] };
  }
  const byName = new Map(seats.map((seat) => [seat.worker, seat]));
  const isPinned = (shard: number): boolean => byName.has(pins.get(shard) ?? NOBODY);

  const pool: number[] = [];
  owners.forEach((owner, shard) => {
    const pinnedTo = byName.get(pins.get(shard) ?? NOBODY);
    const seat = pinnedTo ?? byName.get(owner ?? NOBODY);
    if (seat === undefined) pool.push(shard);
    else {
      seat.load++;
      wanted[shard] = seat.worker;
    }
    if (pinnedTo !== undefined) pinnedTo.pinned++;
  });
  setTargets(seats, owners.length);
  balance(seats, pool.length, bound);

  const givable = new Map<Seat, number[]>(seats.filter(({ gives }) => gives > 0).map((seat) => [seat, []]));
  if (givable.size > 0) {
    wanted.forEach((owner, shard) => {
      const seat = byName.get(owner ?? NOBODY);
      if (seat !== undefined && !isPinned(shard)) givable.get(seat)?.push(shard);
    });
  }
  for (const [seat, shards] of givable) pool.push(...leastAttached(seat, shards));
  place(pool, seats, wanted);

  const moves: Move[] = [];
  wanted.forEach((to, shard) => {
    const from = owners[shard] ?? null;
    if (to !== null && to !== from) moves.push({ shard, from, to });
  });
  return { wanted, moves };
}

/** No worker has an empty name. */
const NOBODY = '';

/** The workers that may own shards, by name, so that the order in which they were given counts for nothing. */
function seatsOf(workers: readonly WeightedWorker[], bound: number): Seat[] {
  if (!(bound >= 1)) throw new RangeError(`a bound of ${bound} is below 1`);
  const names = new Set<string>();
  for (const { worker, weight } of workers) {
    if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`worker ${worker}: ${weight} is not a weight`);
    }
    if (worker === NOBODY) throw new RangeError('a worker has no name');
    if (names.has(worker)) throw new RangeError(`worker ${worker} is named twice`);
    names.add(worker);
  }
  return workers
    .filter(({ weight }) => weight > 0)
    .map(({ worker, weight }) => {
      return { worker, weight, hash: hashOf(worker), pinned: 0, load: 0, share: 0, target: 0, gives: 0, gets: 0 };
    })
    .sort((a, b) => (a.worker < b.worker ? -1 : 1));
}

/** Shares by weight. Who has more pinned than its share has just that, and the others share what is left. */
function setTargets(seats: readonly Seat[], shards: number): void {
  const heaviest = Math.max(...seats.map(({ weight }) => weight));
  let sharing = [...seats];
  let left = shards;
  for (let settled = false; !settled; ) {
    const weights = sharing.reduce((sum, { weight }) => sum + weight / heaviest, 0);
    for (const seat of sharing) seat.share = (left * (seat.weight / heaviest)) / weights;
    const full = sharing.filter(({ pinned, share }) => pinned > share + ROUNDING);
    for (const seat of full) {
      seat.share = seat.pinned;
      left -= seat.pinned;
    }
    sharing = sharing.filter((seat) => !full.includes(seat));
    settled = full.length === 0;
  }
  for (const seat of seats) seat.target = Math.floor(seat.share + ROUNDING);
  const rest = shards - seats.reduce((sum, { target }) => sum + target, 0);
  // What rounding leaves goes where shards stay put by it, then to the largest remainder.
  const remainder = ({ share, target }: Seat): number => share - target;
  const stays = (seat: Seat): number => (seat.load > seat.target && remainder(seat) > ROUNDING ? 1 : 0);
  const next = [...sharing].sort((a, b) => stays(b) - stays(a) || remainder(b) - remainder(a));
  for (const seat of next.slice(0, rest)) seat.target++;
}

/** Far above the error of a sum of shares, far below one shard. */
const ROUNDING = 1e-6;

/**
 * How many each gives and gets: first the `free` shards go to the emptiest; then whoever is outside the band comes to
 * its target, the fullest giving and the emptiest getting.
 */
function balance(seats: readonly Seat[], free: number, bound: number): void {
  const all = (): boolean => false;
  grant(slots(seats, 'gets', all).slice(0, free));
  const most = ({ share }: Seat): number => Math.max(Math.ceil(share - ROUNDING), Math.floor(share * bound));
  const least = ({ share }: Seat): number => Math.min(Math.floor(share + ROUNDING), Math.ceil(share / bound));
  const over = (seat: Seat): boolean => seat.load > most(seat);
  const under = (seat: Seat): boolean => seat.load < least(seat);
  const givers = slots(seats, 'gives', over);
  const getters = slots(seats, 'gets', under);
  const count = Math.max(givers.filter(({ must }) => must).length, getters.filter(({ must }) => must).length);
  for (const { seat } of givers.slice(0, count)) {
    seat.load--;
    seat.gives++;
  }
  grant(getters.slice(0, count));
}

function grant(granted: readonly Slot[]): void {
  for (const { seat } of granted) {
    seat.load++;
    seat.gets++;
  }
}

/** Room for one shard between a seat's load and its target. */
interface Slot {
  readonly seat: Seat;
  readonly must: boolean;
  /** The seat's load over its share, with the shard that is given or without the one that is got. */
  readonly fullness: number;
}

/** Those that must come first; then the fullest give first, the emptiest get first. */
function slots(seats: readonly Seat[], which: 'gives' | 'gets', must: (seat: Seat) => boolean): Slot[] {
  const found: Slot[] = [];
  for (const seat of seats) {
    const [from, to] = which === 'gets' ? [seat.load, seat.target] : [seat.target + 1, seat.load + 1];
    const isUrgent = from < to && must(seat);
    for (let load = from; load < to; load++)
      found.push({ seat, must: isUrgent, fullness: load / Math.max(seat.share, ROUNDING) });
  }
  const sign = which === 'gets' ? 1 : -1;
  return found.sort((a, b) => Number(b.must) - Number(a.must) || sign * (a.fullness - b.fullness));
}

/** The shards that a seat gives: those that score lowest with it. */
function leastAttached(seat: Seat, shards: readonly number[]): number[] {
  return shards
    .map((shard) => ({ shard, score: score(hashOfShard(shard), seat.hash) }))
    .sort((a, b) => a.score - b.score || a.shard - b.shard)
    .slice(0, seat.gives)
    .map(({ shard }) => shard);
}

/**
 * Weighted rendezvous hashing among neighbours: those that get shards stand on a ring by their hashes, and each shard
 * goes to the one of the next few with which it scores highest. Who has got all that it gets leaves the ring.
 */
function place(pool: number[], seats: readonly Seat[], wanted: (string | null)[]): void {
  const ring = seats.filter(({ gets }) => gets > 0).sort((a, b) => a.hash - b.hash);
  for (const shard of pool.sort((a, b) => a - b)) {
    const hash = hashOfShard(shard);
    const start = firstAtOrAfter(ring, hash);
    let chosen = -1;
    let highest = Number.NEGATIVE_INFINITY;
    for (let step = 0; step < Math.min(NEIGHBOURS, ring.length); step++) {
      const index = (start + step) % ring.length;
      const { weight, hash: seatHash } = ring[index] as Seat;
      const weighted = Math.log((score(hash, seatHash) + 0.5) / 2 ** 32) / weight;
      if (chosen !== -1 && weighted <= highest) continue;
      highest = weighted;
      chosen = index;
    }
    const seat = ring[chosen];
    if (seat === undefined) throw new Error(`nobody gets shard ${shard}`);
    wanted[shard] = seat.worker;
    seat.gets--;
    if (seat.gets === 0) ring.splice(chosen, 1);
  }
}

/** Bounds the work for a shard where thousands of workers get some. */
const NEIGHBOURS = 32;

function firstAtOrAfter(ring: readonly Seat[], hash: number): number {
  let from = 0;
  let to = ring.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if ((ring[middle] as Seat).hash < hash) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Of 32 bits, not negative. */
function score(shardHash: number, workerHash: number): number {
  let hash = shardHash ^ workerHash;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function hashOfShard(shard: number): number {
  return Math.imul(shard + 1, 0x9e3779b1) >>> 0;
}

/** FNV-1a over the name's UTF-16 units, mixed: names that differ in their last letter only are far apart. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index++) hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  return score(hash, name.length);
}
