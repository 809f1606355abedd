import type {
  AnotherHistory,
  FleetMember,
  FleetNews,
  FleetView,
  OwnershipStore,
  OwnShard,
  ShardMove,
  ShardRow,
  WorkerRegistration,
} from '../../engine/fleet-ports.ts';
import type { FleetChange, FleetPicture } from '../../engine/operator-ports.ts';
import { handOverLimitMs } from '../../room/shard.ts';
import { type Fence, type MemoryDatabase, nextMicrotask } from './database.ts';

interface Shard {
  readonly number: number;
  owner: string | null;
  heir: string | null;
  heirUntil: number;
  epoch: number;
  movedAt: number;
}

const PLANNING_MS = 2_000;
/** So much more than a whole lease is left only where the clock was set back. */
const AHEAD_MS = 1_000;

function hasEnded({ leaseEndsAt, leaseMs }: Fence, now: number): boolean {
  return leaseEndsAt <= now || leaseEndsAt > now + leaseMs + AHEAD_MS;
}

/** Leases run by the database's clock. No statement outlasts its microtask, so a fence never finds an open batch. */
export class MemoryOwnershipStore implements OwnershipStore {
  readonly #database: MemoryDatabase;
  readonly #shards: Shard[];
  readonly #owned = new Map<string, Set<Shard>>();
  /** Workers that are not fenced. */
  readonly #present = new Map<string, Fence>();
  readonly #fleet = { membership: 1, planned: 0, changedAt: 0, planner: null as string | null, plannerUntil: 0 };
  readonly #weights = new Map<string, number>();
  readonly #pins = new Map<number, string>();

  constructor(database: MemoryDatabase) {
    this.#database = database;
    this.#shards = Array.from({ length: database.shards }, (_, number) => {
      return { number, owner: null, heir: null, heirUntil: 0, epoch: 0, movedAt: database.now() };
    });
  }

  ownerOf(shard: number): string | null {
    return this.#shards[shard]?.owner ?? null;
  }

  async shardCount(): Promise<number> {
    await nextMicrotask();
    return this.#database.shards;
  }

  async register({ worker, name, roles, weight, leaseMs, hears }: WorkerRegistration): Promise<{
    databaseTimeMs: number;
    generation: number;
    anotherHistory: AnotherHistory | null;
  }> {
    await nextMicrotask();
    const { fences, now } = this.#database;
    const anotherHistory = this.#database.anotherHistory();
    if (anotherHistory !== null) return { databaseTimeMs: now(), generation: 0, anotherHistory };
    if (fences.has(worker)) throw new Error(`worker ${worker} is registered already`);
    const databaseTimeMs = now();
    const leaseEndsAt = databaseTimeMs + leaseMs;
    const fence = {
      leaseEndsAt,
      leaseMs,
      hears,
      fenced: false,
      generation: 1,
      name,
      roles,
      weight,
      draining: false,
      registeredAt: databaseTimeMs,
    };
    fences.set(worker, fence);
    this.#present.set(worker, fence);
    this.#changed();
    return { databaseTimeMs, generation: 1, anotherHistory };
  }

  async renew(
    worker: string,
    leaseMs: number,
  ): Promise<{ anotherHistory: AnotherHistory | null; news: FleetNews } | null> {
    await nextMicrotask();
    const databaseTimeMs = this.#database.now();
    const anotherHistory = this.#database.anotherHistory();
    const news = this.#news(worker);
    if (anotherHistory !== null) return { anotherHistory, news };
    const fence = this.#fenceOf(worker);
    const overdue = this.#ownedBy(worker).some(
      ({ heir, heirUntil }) => heir !== null && heirUntil <= databaseTimeMs && this.#isAlive(heir),
    );
    if (fence.fenced || fence.leaseEndsAt <= databaseTimeMs || overdue) return null;
    fence.leaseEndsAt = databaseTimeMs + leaseMs;
    fence.leaseMs = leaseMs;
    const limitMs = databaseTimeMs + handOverLimitMs(leaseMs);
    for (const shard of this.#ownedBy(worker)) {
      if (shard.heirUntil > limitMs + AHEAD_MS) shard.heirUntil = limitMs;
    }
    return { anotherHistory, news };
  }

  async glance(worker: string): Promise<FleetNews> {
    await nextMicrotask();
    return this.#news(worker);
  }

  async expiredWorkers(): Promise<{ worker: string; leaseLeftMs: number }[]> {
    await nextMicrotask();
    const now = this.#database.now();
    return [...this.#present]
      .filter(([, fence]) => hasEnded(fence, now))
      .map(([worker, { leaseEndsAt }]) => ({ worker, leaseLeftMs: leaseEndsAt - now }));
  }

  async fence(worker: string): Promise<boolean> {
    await nextMicrotask();
    const fence = this.#fenceOf(worker);
    if (!fence.fenced && !hasEnded(fence, this.#database.now())) return false;
    this.#raise(worker, fence);
    return true;
  }

  async beginPlan(worker: string): Promise<FleetView | null> {
    await nextMicrotask();
    const fleet = this.#fleet;
    const now = this.#database.now();
    if (fleet.planned >= fleet.membership) return null;
    const leftMs = fleet.plannerUntil - now;
    if (fleet.planner !== null && fleet.planner !== worker && leftMs > 0 && leftMs <= PLANNING_MS) return null;
    fleet.planner = worker;
    fleet.plannerUntil = now + PLANNING_MS;
    return this.#view();
  }

  async view(): Promise<FleetView> {
    await nextMicrotask();
    return this.#view();
  }

  async applyPlan(membership: number, moves: readonly ShardMove[]): Promise<boolean> {
    await nextMicrotask();
    const fleet = this.#fleet;
    if (fleet.membership !== membership) return false;
    const valid = moves.filter((move) => this.#isOwnedAsSaid(move));
    for (const move of valid) this.#move(move);
    if (valid.length < moves.length) return false;
    fleet.planned = membership;
    fleet.planner = null;
    return true;
  }

  async ownShards(worker: string): Promise<OwnShard[]> {
    await nextMicrotask();
    if (this.#fenceOf(worker).fenced) return [];
    return this.#ownedBy(worker)
      .map(({ number, heir, epoch }) => ({ shard: number, heir, epoch }))
      .sort((a, b) => a.shard - b.shard);
  }

  async handOver(worker: string, shards: readonly OwnShard[]): Promise<number[]> {
    await nextMicrotask();
    const given: number[] = [];
    for (const { shard: number, epoch } of shards) {
      const shard = this.#shards[number] as Shard;
      if (shard.owner !== worker || shard.heir === null || shard.epoch !== epoch) continue;
      const alive = this.#isAlive(shard.heir);
      this.#give(shard, alive ? shard.heir : worker);
      if (alive) given.push(number);
    }
    return given;
  }

  async drain(worker: string): Promise<boolean> {
    await nextMicrotask();
    const fence = this.#database.fences.get(worker);
    if (fence === undefined || fence.fenced) return false;
    this.#setDraining(fence, true);
    return true;
  }

  async raiseGeneration(worker: string): Promise<number> {
    await nextMicrotask();
    const fence = this.#fenceOf(worker);
    fence.generation++;
    return fence.generation;
  }

  async release(worker: string): Promise<void> {
    await nextMicrotask();
    const fence = this.#database.fences.get(worker);
    if (fence !== undefined) this.#raise(worker, fence);
  }

  // ---------------------------------------------------------------------------------- for operators, see `fleet.ts`

  picture(): FleetPicture {
    const now = this.#database.now();
    const { planned, changedAt } = this.#fleet;
    return {
      ...this.#view(),
      planned,
      changedAt,
      members: this.#members().map((member) => {
        const { weight: ownWeight, generation, registeredAt } = this.#fenceOf(member.worker);
        const operatorWeight = this.#weights.get(member.name) ?? null;
        return { ...member, ownWeight, operatorWeight, generation, registeredAt };
      }),
      shards: this.#shards.map((shard) => ({
        ...this.#rowOf(shard),
        heirLeftMs: shard.heir === null ? null : shard.heirUntil - now,
        movedAt: shard.movedAt,
      })),
      weights: new Map(this.#weights),
    };
  }

  /** All of it, or nothing and false. */
  change(membership: number, { weights, pins, drain, moves }: FleetChange): boolean {
    const draining = drain === null ? undefined : this.#present.get(drain.worker);
    const isCurrent = this.#fleet.membership === membership && (drain === null) === (draining === undefined);
    if (!isCurrent || !moves.every((move) => this.#isOwnedAsSaid(move))) return false;
    for (const [name, weight] of weights) {
      if (weight === null) this.#weights.delete(name);
      else this.#weights.set(name, weight);
    }
    for (const [shard, name] of pins) {
      if (name === null) this.#pins.delete(shard);
      else this.#pins.set(shard, name);
    }
    if (drain !== null) this.#setDraining(draining as Fence, drain.draining);
    for (const move of moves) this.#move(move);
    this.#changed();
    return true;
  }

  #setDraining(fence: Fence, draining: boolean): void {
    if (fence.draining !== draining) this.#changed();
    fence.draining = draining;
  }

  #changed(): void {
    this.#fleet.membership++;
    this.#fleet.changedAt = this.#database.now();
  }

  #isOwnedAsSaid({ shard: number, from }: ShardMove): boolean {
    const shard = this.#shards[number] as Shard;
    return from === null ? this.#isFree(shard) : shard.owner === from;
  }

  #move({ shard: number, to }: ShardMove): void {
    const shard = this.#shards[number] as Shard;
    if (this.#isFree(shard)) {
      this.#give(shard, to);
      return;
    }
    if (shard.heir === null) {
      shard.heirUntil = this.#database.now() + handOverLimitMs(this.#fenceOf(shard.owner as string).leaseMs);
    }
    shard.heir = to;
    shard.epoch++;
  }

  #raise(worker: string, fence: Fence): void {
    if (!fence.fenced) this.#changed();
    fence.fenced = true;
    this.#present.delete(worker);
  }

  #ownedBy(worker: string): Shard[] {
    return [...(this.#owned.get(worker) ?? [])];
  }

  #give(shard: Shard, to: string | null): void {
    if (shard.owner !== null) this.#owned.get(shard.owner)?.delete(shard);
    if (to !== null) {
      const owned = this.#owned.get(to) ?? new Set();
      this.#owned.set(to, owned.add(shard));
    }
    if (shard.owner !== to) shard.movedAt = this.#database.now();
    shard.owner = to;
    shard.heir = null;
    shard.epoch++;
  }

  #isFree({ owner }: Shard): boolean {
    return owner === null || this.#fenceOf(owner).fenced;
  }

  #isAlive(worker: string | null): boolean {
    const fence = worker === null ? undefined : this.#database.fences.get(worker);
    return fence !== undefined && !fence.fenced && fence.leaseEndsAt > this.#database.now();
  }

  #view(): FleetView {
    return {
      membership: this.#fleet.membership,
      members: this.#members(),
      shards: this.#shards.map((shard) => this.#rowOf(shard)),
      pins: new Map(this.#pins),
    };
  }

  #rowOf(shard: Shard): ShardRow {
    return { owner: this.#isFree(shard) ? null : shard.owner, heir: shard.heir, epoch: shard.epoch };
  }

  #members(): FleetMember[] {
    const now = this.#database.now();
    return [...this.#present].map(([worker, { name, roles, weight: own, draining, leaseEndsAt }]) => {
      const weight = this.#weights.get(name) ?? own;
      return { worker, name, roles, weight, draining, leaseLeftMs: leaseEndsAt - now };
    });
  }

  #news(worker: string): FleetNews {
    const { membership, planned } = this.#fleet;
    const now = this.#database.now();
    const hears = this.#present.get(worker)?.hears ?? null;
    let others = 0;
    let unheard = 0;
    let nextLeaseEndMs: number | null = null;
    let longestLeaseMs: number | null = null;
    for (const [other, fence] of this.#present) {
      if (other === worker) continue;
      others++;
      if (hears !== null && fence.hears !== null && fence.hears !== hears) unheard++;
      const leftMs = hasEnded(fence, now) ? Math.min(0, fence.leaseEndsAt - now) : fence.leaseEndsAt - now;
      nextLeaseEndMs = Math.min(nextLeaseEndMs ?? leftMs, leftMs);
      longestLeaseMs = Math.max(longestLeaseMs ?? 0, fence.leaseMs);
    }
    return { membership, planned, others, unheard, nextLeaseEndMs, longestLeaseMs, databaseTimeMs: now };
  }

  #fenceOf(worker: string): Fence {
    const fence = this.#database.fences.get(worker);
    if (fence === undefined) throw new Error(`worker ${worker} is not registered`);
    return fence;
  }
}
