/**
 * What entitles this process to claim: a leased worker identity, its shards, and a fence generation.
 *
 *   O1  an identity is random and new for every life; a life that lost its lease is never taken up again
 *   O2  the lease is trusted for less than its stored life, counted on the monotonic clock from before the renewal's
 *       query; a claim or send begins only if the lease outlives the longest that a send can take
 *   O3  a dead worker is fenced in a transaction of its own, and its rooms are read only after that commit
 *   O4  after a claim whose commit is unknown the generation rises before anything is decided again
 *   O5  in a database whose past is not the known one no life begins or goes on, until an operator has decided
 */

import { type Lease, outlives } from '../room/shard.ts';
import { errorFields } from '../telemetry.ts';
import type { Instruments } from './instruments.ts';
import type { AnotherHistory, ClaimProof, DatabaseIdentity, OwnershipStore, SettableClock } from './ports.ts';
import { defineService, runLoop, type Service } from './service.ts';

/** What the rest of the engine asks of ownership. */
export interface Tenure {
  /** Engine time is the database's: a life has begun. */
  readonly clockIsSet: boolean;
  /** This process holds the shard, as far as it knows. */
  holds(shard: number): boolean;
  /** It holds the shard, and its lease outlives a send of this length. */
  mayClaim(shard: number, sendTimeoutMs: number): boolean;
  /** The last check before a send, of the life that claimed it. */
  outlives(shard: number, sendTimeoutMs: number): boolean;
  proof(): ClaimProof | null;
  /** A claim of this generation was refused by the fence: look at the lease now. */
  suspect(generation: number): void;
  /** Raises the generation, however long the store takes. */
  renewGeneration(): Promise<void>;
  /** The store failed; for readiness and logs. */
  storeFailed(error: unknown): void;
}

export interface OwnershipOptions {
  readonly store: OwnershipStore;
  readonly clock: SettableClock;
  readonly instruments: Instruments;
  readonly newWorkerId: () => string;
  readonly leaseMs: number;
  readonly renewEveryMs: number;
  /** Called in every life once the clock is set and before shards are taken; the life waits for it. */
  readonly onBegun: () => Promise<void>;
  /** Reads the rooms of shards that have just become ours. */
  readonly onAcquired: (shards: readonly number[]) => Promise<void>;
  /** The lease has been renewed or the generation raised: what could not be claimed before may be now. */
  readonly onTrusted: () => void;
  /** Forgets what memory knows: the lease is gone. */
  readonly onLost: () => void;
  readonly onFailure: (error: unknown) => void;
}

interface Life {
  readonly worker: string;
  generation: number;
  lease: Lease;
}

export class Ownership implements Tenure {
  readonly service: Service;
  readonly #options: OwnershipOptions;
  readonly #shards = new Set<number>();
  #life: Life | null = null;
  #generationRise: Promise<void> | null = null;
  #tending: Promise<void> | null = null;
  #doubted = false;
  #clockIsSet = false;
  #wake: () => void = () => undefined;
  #storeUp = true;
  #anotherHistory: AnotherHistory | null = null;
  #ending = false;

  constructor(options: OwnershipOptions) {
    this.#options = options;
    this.service = defineService('ownership', async (scope) => {
      await this.#step();
      const { clock, onFailure } = options;
      const loop = runLoop(() => this.#step(), {
        timers: { schedule: (delayMs, callback) => clock.after(delayMs, callback) },
        onFailure,
      });
      this.#wake = () => loop.wake();
      scope.onStop(async () => {
        this.#ending = true;
        await loop.stop();
        await this.#tending;
        await this.#release();
      });
      await this.#tending;
    });
  }

  get clockIsSet(): boolean {
    return this.#clockIsSet;
  }

  get worker(): string | null {
    return this.#life?.worker ?? null;
  }

  get shards(): ReadonlySet<number> {
    return this.#shards;
  }

  /** The store answered the last renewal. */
  get storeUp(): boolean {
    return this.#storeUp;
  }

  /** Not null while nothing is claimed because the database may have lost what had been committed. */
  get anotherHistory(): AnotherHistory | null {
    return this.#anotherHistory;
  }

  holds(shard: number): boolean {
    return this.#shards.has(shard);
  }

  mayClaim(shard: number, sendTimeoutMs: number): boolean {
    return this.#generationRise === null && this.outlives(shard, sendTimeoutMs);
  }

  outlives(shard: number, sendTimeoutMs: number): boolean {
    const life = this.#life;
    return life !== null && this.holds(shard) && outlives(life.lease, this.#options.clock.monotonic(), sendTimeoutMs);
  }

  proof(): ClaimProof | null {
    return this.#life === null ? null : { worker: this.#life.worker, generation: this.#life.generation };
  }

  suspect(generation: number): void {
    // Where the lease turns out to live, a raise whose answer was lost has come after the one that was answered.
    if (generation === this.#life?.generation && this.#generationRise === null) this.#doubted = true;
    this.#wake();
  }

  storeFailed(error: unknown): void {
    if (!this.#storeUp) return;
    this.#storeUp = false;
    this.#options.instruments.log.event('dependency.lost', { dependency: 'postgres', ...errorFields(error) });
    this.#options.instruments.telemetry.emit('dependency.lost', { dependency: 'postgres' });
  }

  renewGeneration(): Promise<void> {
    this.#generationRise ??= this.#raise().finally(() => {
      this.#generationRise = null;
      this.#options.onTrusted();
    });
    return this.#generationRise;
  }

  async #raise(): Promise<void> {
    const life = this.#life;
    while (life !== null && this.#life === life) {
      try {
        life.generation = await this.#options.store.raiseGeneration(life.worker);
        return;
      } catch (error) {
        this.storeFailed(error);
        await this.#pause();
      }
    }
  }

  /** Renews or begins a life. Returns when to come again, in ms. */
  async #step(): Promise<number> {
    const { renewEveryMs, instruments } = this.#options;
    try {
      if (this.#life === null) await this.#begin();
      else await this.#renew(this.#life);
      if (!this.#storeUp) {
        this.#storeUp = true;
        instruments.log.event('dependency.back', { dependency: 'postgres', durationMs: 0 });
        instruments.telemetry.emit('dependency.back', { dependency: 'postgres' });
      }
      const life = this.#life;
      if (life === null) return this.#anotherHistory === null ? 0 : renewEveryMs;
      this.#tending ??= this.#tend(life).finally(() => {
        this.#tending = null;
        if (this.#life !== life) this.#wake();
      });
      return renewEveryMs;
    } catch (error) {
      this.storeFailed(error);
      return Math.min(renewEveryMs, STORE_RETRY_MS);
    }
  }

  /** Fences the dead and takes their shards. However long that lasts, no renewal waits for it. */
  async #tend(life: Life): Promise<void> {
    const { store, instruments } = this.#options;
    try {
      for (const worker of await store.expiredWorkers()) {
        if (worker === life.worker || !(await store.fence(worker))) continue;
        instruments.log.event('ownership.taken_over', { worker: life.worker, holder: worker, shards: 0 });
      }
      await this.#take(life);
    } catch (error) {
      this.storeFailed(error);
      await this.#pause();
      this.#wake();
    }
  }

  async #begin(): Promise<void> {
    const { store, clock, leaseMs, newWorkerId } = this.#options;
    const worker = newWorkerId();
    const sentAt = clock.monotonic();
    const { databaseTimeMs, generation, anotherHistory } = await store.register(worker, leaseMs);
    clock.synchronize(databaseTimeMs, sentAt, clock.monotonic());
    this.#clockIsSet = true;
    this.#noteHistory(anotherHistory);
    if (anotherHistory !== null) return;
    await this.#options.onBegun();
    this.#doubted = false;
    this.#life = { worker, generation, lease: { renewedAtMonotonicMs: sentAt, lifeMs: leaseMs } };
  }

  async #renew(life: Life): Promise<void> {
    const { store, clock, leaseMs } = this.#options;
    const sentAt = clock.monotonic();
    const renewed = await store.renew(life.worker, leaseMs);
    if (renewed === null || renewed.anotherHistory !== null) {
      this.#noteHistory(renewed?.anotherHistory ?? null);
      this.#lose(life, renewed === null ? 'lease_ended' : 'another_history');
      return;
    }
    clock.synchronize(renewed.databaseTimeMs, sentAt, clock.monotonic());
    life.lease = { renewedAtMonotonicMs: sentAt, lifeMs: leaseMs };
    if (this.#doubted) {
      this.#doubted = false;
      void this.renewGeneration();
    }
    this.#options.onTrusted();
  }

  async #take(life: Life): Promise<void> {
    const { store, instruments, onAcquired } = this.#options;
    const owned = await store.takeShards(life.worker);
    if (this.#life !== life) return;
    const fresh = owned.filter((shard) => !this.#shards.has(shard));
    if (fresh.length === 0) return;
    for (const shard of fresh) this.#shards.add(shard);
    instruments.metrics.shardsHeld.set(this.#shards.size);
    const { worker, generation } = life;
    instruments.log.event('ownership.acquired', { worker, generation, shards: fresh.length });
    instruments.telemetry.emit('ownership.acquired', { worker, generation, shards: fresh.length });
    try {
      await onAcquired(fresh);
    } catch (error) {
      // Its rooms could not all be read: the next sweep finds what this one missed.
      this.storeFailed(error);
    }
  }

  #noteHistory(found: AnotherHistory | null): void {
    const { log, metrics, telemetry } = this.#options.instruments;
    const before = this.#anotherHistory;
    this.#anotherHistory = found;
    if ((before === null) === (found === null)) return;
    metrics.anotherHistory.set(found === null ? 0 : 1);
    if (found === null) {
      log.event('database.adopted', {});
      telemetry.emit('database.adopted', {});
      return;
    }
    const { stored, seen } = found;
    const reason = stored.systemIdentifier === seen.systemIdentifier ? 'timeline' : 'cluster';
    log.event('database.another_history', { reason, stored: nameOf(stored), seen: nameOf(seen) });
    telemetry.emit('database.another_history', { reason });
  }

  #lose(life: Life, reason: 'lease_ended' | 'another_history'): void {
    const { instruments, onLost } = this.#options;
    this.#life = null;
    this.#shards.clear();
    instruments.metrics.shardsHeld.set(0);
    const { worker, generation } = life;
    instruments.log.event('ownership.lost', { worker, generation, reason });
    instruments.telemetry.emit('ownership.lost', { worker, reason });
    onLost();
  }

  async #release(): Promise<void> {
    const life = this.#life;
    if (life === null || !this.#ending) return;
    this.#life = null;
    this.#shards.clear();
    // Where the store is away the lease ends by itself.
    await this.#options.store.release(life.worker).catch((error: unknown) => this.storeFailed(error));
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#options.clock.after(STORE_RETRY_MS, resolve));
  }
}

const STORE_RETRY_MS = 250;

function nameOf({ systemIdentifier, timeline }: DatabaseIdentity): string {
  return `cluster ${systemIdentifier}, timeline ${timeline}`;
}

/** For readiness: what is wrong, and what to do about it. */
export function explainHistory({ stored, seen }: AnotherHistory): string {
  const what =
    stored.systemIdentifier === seen.systemIdentifier
      ? `another timeline (${seen.timeline}, was ${stored.timeline})`
      : `another cluster (${seen.systemIdentifier}, was ${stored.systemIdentifier})`;
  return `${what}: rooms are held until an operator decides: roomline database status`;
}
