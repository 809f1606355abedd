import type { AnotherHistory, OwnershipStore } from '../../engine/ports.ts';
import { type Fence, type MemoryDatabase, nextMicrotask } from './database.ts';

/** Leases run by the database's clock. No statement outlasts its microtask, so a fence never finds an open batch. */
export class MemoryOwnershipStore implements OwnershipStore {
  readonly #database: MemoryDatabase;
  /** The owner of each shard. */
  readonly #owners: (string | null)[];

  constructor(database: MemoryDatabase) {
    this.#database = database;
    this.#owners = Array.from({ length: database.shards }, () => null);
  }

  async shardCount(): Promise<number> {
    await nextMicrotask();
    return this.#database.shards;
  }

  async register(
    worker: string,
    leaseMs: number,
  ): Promise<{ databaseTimeMs: number; generation: number; anotherHistory: AnotherHistory | null }> {
    await nextMicrotask();
    const { fences, now } = this.#database;
    const anotherHistory = this.#database.anotherHistory();
    if (anotherHistory !== null) return { databaseTimeMs: now(), generation: 0, anotherHistory };
    if (fences.has(worker)) throw new Error(`worker ${worker} is registered already`);
    const databaseTimeMs = now();
    fences.set(worker, { leaseEndsAt: databaseTimeMs + leaseMs, fenced: false, generation: 1 });
    return { databaseTimeMs, generation: 1, anotherHistory };
  }

  async renew(
    worker: string,
    leaseMs: number,
  ): Promise<{ databaseTimeMs: number; anotherHistory: AnotherHistory | null } | null> {
    await nextMicrotask();
    const databaseTimeMs = this.#database.now();
    const anotherHistory = this.#database.anotherHistory();
    if (anotherHistory !== null) return { databaseTimeMs, anotherHistory };
    const fence = this.#fenceOf(worker);
    if (fence.fenced || fence.leaseEndsAt <= databaseTimeMs) return null;
    fence.leaseEndsAt = databaseTimeMs + leaseMs;
    return { databaseTimeMs, anotherHistory };
  }

  async expiredWorkers(): Promise<string[]> {
    await nextMicrotask();
    const now = this.#database.now();
    const owners = new Set(this.#owners);
    return [...this.#database.fences]
      .filter(([worker, fence]) => fence.leaseEndsAt <= now && (!fence.fenced || owners.has(worker)))
      .map(([worker]) => worker);
  }

  async fence(worker: string): Promise<boolean> {
    await nextMicrotask();
    const fence = this.#fenceOf(worker);
    if (!fence.fenced && fence.leaseEndsAt > this.#database.now()) return false;
    fence.fenced = true;
    return true;
  }

  async takeShards(worker: string): Promise<number[]> {
    await nextMicrotask();
    if (this.#fenceOf(worker).fenced) return [];
    const owned: number[] = [];
    this.#owners.forEach((owner, shard) => {
      if (owner !== worker && owner !== null && !this.#fenceOf(owner).fenced) return;
      this.#owners[shard] = worker;
      owned.push(shard);
    });
    return owned;
  }

  async raiseGeneration(worker: string): Promise<number> {
    await nextMicrotask();
    const fence = this.#fenceOf(worker);
    fence.generation++;
    return fence.generation;
  }

  async release(worker: string): Promise<void> {
    await nextMicrotask();
    this.#fenceOf(worker).fenced = true;
    this.#owners.forEach((owner, shard) => {
      if (owner === worker) this.#owners[shard] = null;
    });
  }

  #fenceOf(worker: string): Fence {
    const fence = this.#database.fences.get(worker);
    if (fence === undefined) throw new Error(`worker ${worker} is not registered`);
    return fence;
  }
}
