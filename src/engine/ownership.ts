/**
 * What entitles this process to claim: a leased worker identity, its shards, and a fence generation.
 *
 *   O1  an identity is random and new for every life; a life that lost its lease is never taken up again
 *   O2  the lease is trusted for less than its stored life, counted on the monotonic clock from before the renewal's
 *       query; a claim or send begins only if the lease outlives the longest that a send can take
 *   O3  a dead worker is fenced in a transaction of its own, and its rooms are read only after that commit
 *   O4  after a claim whose commit is unknown the generation rises before anything is decided again
 *   O5  in a database whose past is not the known one no life begins or goes on, until an operator has decided
 *   O6  in a shard that is to be an heir's nothing is claimed or taken over from when it begins to leave; it is handed
 *       over after that, when its last claim is sent, answered and stored, and is not taken back because the answer to
 *       that was lost
 *   O7  what is owned is what the store said after the last hand-over, never what it said before
 *   O8  while the database's clock may have been set, nobody is fenced: a lease that seems to have ended may be trusted
 */

import { type Lease, outlives } from '../room/shard.ts';
import { errorFields } from '../telemetry.ts';
import { nameOfHistory } from './another-history.ts';
import type { AnotherHistory, FleetNews, OwnershipStore, OwnShard, ShardMove } from './fleet-ports.ts';
import { FleetWatch } from './fleet-watch.ts';
import type { Instruments } from './instruments.ts';
import { LEAVE_EVERY_MS, LeavingPace } from './leaving.ts';
import { planOf } from './plan.ts';
import {
  type Chance,
  type ClaimProof,
  OutcomeUnknownError,
  type SettableClock,
  type Signal,
  type Signals,
} from './ports.ts';
import { defineService, type Loop, runLoop, type Service } from './service.ts';
import type { StoreWork } from './store-work.ts';

/** What the rest of the engine asks of ownership. */
export interface Tenure {
  /** Engine time is the database's: a life has begun. */
  readonly clockIsSet: boolean;
  /** No other process is known: nobody else can be told of an ack, and there are no signals to miss. */
  readonly alone: boolean;
  /** This process holds the shard, as far as it knows. */
  holds(shard: number): boolean;
  /** It holds the shard and is about to hand it over: nothing is claimed or taken over there. */
  isLeaving(shard: number): boolean;
  /** It holds the shard, and no heir does who has been given it and is not known of yet. */
  keeps(shard: number): boolean;
  /** An attempt there that this process does not know is nobody else's: it holds the shard, keeps it, and is trusted. */
  mayTakeOver(shard: number): boolean;
  /** It holds the shard and keeps it, and its lease outlives a send of this length. */
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
  readonly signals: Signals | null;
  readonly chance: Chance;
  readonly newWorkerId: () => string;
  /** The name of the node, the same in every life. */
  readonly name: string;
  /** Without `worker` among them the process holds no shards. */
  readonly roles: readonly string[];
  readonly weight: number;
  readonly leaseMs: number;
  readonly renewEveryMs: number;
  /** How often the fleet is looked at while no signals come, at most. */
  readonly pollEveryMs: number;
  /** The same in all processes that hear each other's signals; null: not known. */
  readonly hears: string | null;
  readonly work: StoreWork;
  /** Called in every life once the clock is set and before shards are taken; the life waits for it. */
  readonly onBegun: () => Promise<void>;
  /** Reads the rooms of shards that have just become ours. */
  readonly onAcquired: (shards: readonly number[]) => Promise<void>;
  /** Claims nothing further in these shards. */
  readonly onLeaving: (shards: ReadonlySet<number>) => void;
  /** Nothing is claimed in the shard whose outcome is not stored. */
  readonly isQuiet: (shard: number) => boolean;
  /** Forgets what memory knows of these shards: they are somebody else's. */
  readonly onReleased: (shards: ReadonlySet<number>) => void;
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

/** Somebody waits for every shard to be gone. */
interface Departure {
  readonly done: () => void;
  announced: boolean;
}

export class Ownership implements Tenure {
  readonly service: Service;
  readonly #options: OwnershipOptions;
  readonly #shards = new Set<number>();
  /** Those of our shards that have an heir, as far as they have begun to leave. */
  readonly #leaving = new Set<number>();
  readonly #pace: LeavingPace;
  readonly #reading = new Set<Promise<void>>();
  /** Registered, as far as is known, without a life having come of it. */
  readonly #unborn = new Set<string>();
  #life: Life | null = null;
  #generationRise: Promise<void> | null = null;
  #renewals: Loop | null = null;
  #tending: Loop | null = null;
  /** What the last renewal told, until it has been acted on. */
  #news: FleetNews | null = null;
  readonly #watch: FleetWatch;
  /** 1 to 2: how much longer than others it bears a store that only renews. */
  readonly #patience: number;
  #departure: Departure | null = null;
  #doubted = false;
  #clockIsSet = false;
  #storeUp = true;
  #anotherHistory: AnotherHistory | null = null;
  #ending = false;

  constructor(options: OwnershipOptions) {
    this.#options = options;
    this.#watch = new FleetWatch(options);
    this.#patience = 1 + options.chance();
    this.#pace = new LeavingPace(options.clock, options.leaseMs);
    const { clock, onFailure, signals } = options;
    const timers = { schedule: (delayMs: number, callback: () => void) => clock.after(delayMs, callback) };
    this.service = defineService('ownership', async (scope) => {
      scope.onStop(() => this.#release());
      if (signals !== null) {
        const listener = (signal: Signal): void => {
          if (signal.kind === 'ownership' && this.#concerns(signal.worker)) this.#tending?.wake();
        };
        scope.onStop(signals.listen(listener));
      }
      await this.#step();
      this.#renewals = runLoop(() => this.#step(), { timers, onFailure });
      scope.onStop(async () => {
        this.#ending = true;
        await this.#renewals?.stop();
      });
      scope.onStop(async () => {
        await this.#tending?.stop();
        await Promise.all(this.#reading);
      });
      let next: number | null = await this.#tend();
      // A hand-over waits for no reading.
      this.#tending = runLoop(
        async () => {
          const delayMs = next ?? (await this.#tend());
          next = null;
          return delayMs;
        },
        { timers, onFailure },
      );
      await Promise.all(this.#reading);
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

  get alone(): boolean {
    return this.#watch.alone;
  }

  /** It has a lease. */
  get isAlive(): boolean {
    return this.#life !== null;
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

  isLeaving(shard: number): boolean {
    return this.#leaving.has(shard);
  }

  keeps(shard: number): boolean {
    return this.#shards.has(shard) && !this.#leaving.has(shard);
  }

  mayClaim(shard: number, sendTimeoutMs: number): boolean {
    return !this.#leaving.has(shard) && this.#generationRise === null && this.outlives(shard, sendTimeoutMs);
  }

  mayTakeOver(shard: number): boolean {
    return !this.#leaving.has(shard) && this.outlives(shard, 0);
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
    this.#renewals?.wake();
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

  /** The last claim of a shard is stored: it may be handed over. */
  becameQuiet(shard: number): void {
    if (this.#leaving.has(shard)) this.#tending?.wake();
  }

  /** Hands every shard over to whoever lives. Resolves when that is done, or nobody takes them, at the latest after the limit. */
  async leave(limitMs: number): Promise<void> {
    const life = this.#life;
    if (life === null || this.alone) return;
    const departed = Promise.withResolvers<void>();
    this.#departure = { done: departed.resolve, announced: false };
    const cancel = this.#options.clock.after(limitMs, departed.resolve);
    this.#tending?.wake();
    await departed.promise;
    cancel();
    this.#departure = null;
  }

  // --------------------------------------------------------------------------------------------------- the lease

  /** Renews or begins a life. Returns when to come again, in ms. */
  async #step(): Promise<number> {
    const { renewEveryMs, instruments } = this.#options;
    try {
      if (this.#life === null) await this.#begin();
      else await this.#renew(this.#life);
      this.#checkWork();
      if (!this.#storeUp) {
        this.#storeUp = true;
        instruments.log.event('dependency.back', { dependency: 'postgres', durationMs: 0 });
        instruments.telemetry.emit('dependency.back', { dependency: 'postgres' });
      }
      if (this.#life === null) return this.#anotherHistory === null ? 0 : renewEveryMs;
      this.#tending?.wake();
      return renewEveryMs;
    } catch (error) {
      this.#options.work.forget();
      instruments.metrics.storeFailingSeconds.set(0);
      this.storeFailed(error);
      return Math.min(renewEveryMs, STORE_RETRY_MS);
    }
  }

  async #begin(): Promise<void> {
    const { store, clock, leaseMs, newWorkerId, name, roles, weight, hears } = this.#options;
    const worker = newWorkerId();
    const sentAt = clock.monotonic();
    const registration = { worker, name, roles, weight, leaseMs, hears };
    const registered = await store.register(registration).catch((error: unknown) => {
      if (error instanceof OutcomeUnknownError) this.#unborn.add(worker);
      throw error;
    });
    const { databaseTimeMs, generation, anotherHistory } = registered;
    this.#watch.noteTime(databaseTimeMs, sentAt);
    this.#clockIsSet = true;
    this.#noteHistory(anotherHistory);
    if (anotherHistory !== null) return;
    const unborn = [...this.#unborn];
    this.#unborn.add(worker);
    // They would be given shards, which would stand still until their leases end.
    for (const one of unborn) {
      await store.release(one);
      this.#unborn.delete(one);
    }
    await this.#options.onBegun();
    this.#unborn.delete(worker);
    this.#doubted = false;
    this.#news = null;
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
    life.lease = { renewedAtMonotonicMs: sentAt, lifeMs: leaseMs };
    this.#news = renewed.news;
    this.#watch.learn(renewed.news, sentAt);
    if (this.#doubted) {
      this.#doubted = false;
      void this.renewGeneration();
    }
    this.#options.onTrusted();
  }

  /** A worker that holds a lease and can do nothing under it is in the way of those who could. */
  #checkWork(): void {
    const { work, leaseMs, instruments, onFailure } = this.#options;
    const { failingMs } = work;
    instruments.metrics.storeFailingSeconds.set(failingMs / 1_000);
    // Not all at once where the cause is common to all.
    if (failingMs < UNABLE_LEASES * leaseMs * this.#patience) return;
    work.forget();
    instruments.metrics.storeFailingSeconds.set(0);
    instruments.log.event('ownership.unable', { durationMs: Math.round(failingMs) });
    onFailure(new Error('the lease is renewed, and nothing else of the store works'));
  }

  // ------------------------------------------------------------------------------------------------ the fleet

  /**
   * Fences the dead, plans where a plan is due, takes up what has become ours and hands over what is to be another's.
   * One run at a time; however long it lasts, no renewal waits for it. Returns when to come again, in ms.
   */
  async #tend(): Promise<number> {
    const life = this.#life;
    if (life === null) return Number.POSITIVE_INFINITY;
    try {
      const news = await this.#takeNews(life);
      const fenced = await this.#fenceExpired(life, news);
      const plan = await this.#plan(life, news, fenced);
      if (this.#life !== life) return 0;
      const promised = await this.#reconcile(life);
      await this.#handOver(life, promised);
      if (this.#life !== life) return 0;
      if (this.#pace.more) return LEAVE_EVERY_MS;
      const departure = this.#departure;
      if (plan === 'changed' || (plan === 'elsewhere' && departure !== null)) return PLAN_AGAIN_MS;
      // Whoever keeps a shard after that has nobody who would take it.
      if (departure?.announced === true && this.#leaving.size === 0) departure.done();
      return this.#watch.nextLookMs(news);
    } catch (error) {
      this.storeFailed(error);
      return STORE_RETRY_MS;
    }
  }

  async #takeNews(life: Life): Promise<FleetNews> {
    const { store } = this.#options;
    const departure = this.#departure;
    if (departure?.announced === false) {
      await store.drain(life.worker);
      departure.announced = true;
      // A renewal may have looked just before.
      this.#news = null;
    }
    const news = this.#news ?? (await this.#watch.glance(life.worker));
    this.#news = null;
    return news;
  }

  /** True where somebody was fenced. */
  async #fenceExpired(life: Life, news: FleetNews): Promise<boolean> {
    const { store, instruments } = this.#options;
    let fenced = false;
    for (const worker of await this.#watch.dead(news)) {
      if (worker === life.worker || !(await store.fence(worker))) continue;
      fenced = true;
      instruments.log.event('ownership.taken_over', { worker: life.worker, holder: worker, shards: 0 });
    }
    return fenced;
  }

  /** `elsewhere`: somebody else is at it; `changed`: what was planned from has changed meanwhile. */
  async #plan(life: Life, news: FleetNews, fenced: boolean): Promise<'done' | 'elsewhere' | 'changed'> {
    const { store } = this.#options;
    if (!fenced && news.planned >= news.membership) return 'done';
    const view = await store.beginPlan(life.worker);
    if (view === null) return 'elsewhere';
    const moves = planOf(view);
    const done = await store.applyPlan(view.membership, moves);
    this.#tell(moves.flatMap(concerned));
    return done ? 'done' : 'changed';
  }

  /** Takes up what has become ours, and begins to give up what has an heir; returns that. */
  async #reconcile(life: Life): Promise<readonly OwnShard[]> {
    const { store, work } = this.#options;
    const owned = await work.watch('reads', store.ownShards(life.worker));
    if (this.#life !== life) return [];
    const present = new Set(owned.map(({ shard }) => shard));
    this.#drop([...this.#shards].filter((shard) => !present.has(shard)));
    const promised = owned.filter(({ heir }) => heir !== null);
    const leaving = new Set(
      this.#pace.next(promised.map(({ shard }) => shard).filter((shard) => !this.#leaving.has(shard))),
    );
    const kept = owned.filter(({ shard, heir }) => heir === null && this.#leaving.delete(shard));
    for (const shard of leaving) this.#leaving.add(shard);
    const fresh = owned.map(({ shard }) => shard).filter((shard) => !this.#shards.has(shard));
    this.#acquire(life, fresh);
    if (leaving.size > 0) this.#options.onLeaving(leaving);
    if (kept.length > 0) this.#options.onTrusted();
    return promised.filter(({ shard }) => this.#leaving.has(shard));
  }

  #acquire({ worker, generation }: Life, shards: readonly number[]): void {
    if (shards.length === 0) return;
    const { instruments, onAcquired, signals } = this.#options;
    for (const shard of shards) this.#shards.add(shard);
    signals?.follow(shards);
    instruments.metrics.shardsHeld.set(this.#shards.size);
    instruments.log.event('ownership.acquired', { worker, generation, shards: shards.length });
    instruments.telemetry.emit('ownership.acquired', { worker, generation, shards: shards.length });
    const reading = onAcquired(shards)
      // Its rooms could not all be read: the next sweep finds what this one missed.
      .catch((error: unknown) => this.storeFailed(error))
      .finally(() => this.#reading.delete(reading));
    this.#reading.add(reading);
  }

  /** Gives the shards whose last claim is stored to their heirs. */
  async #handOver(life: Life, promised: readonly OwnShard[]): Promise<void> {
    const { store, isQuiet, instruments } = this.#options;
    const quiet = promised.filter(({ shard }) => isQuiet(shard));
    if (quiet.length === 0) return;
    const given = await store.handOver(life.worker, quiet);
    if (this.#life !== life) return;
    this.#drop(given);
    if (given.length > 0) {
      const { worker } = life;
      instruments.log.event('ownership.handed_over', { worker, shards: given.length });
      instruments.telemetry.emit('ownership.handed_over', { worker, shards: given.length });
      const gone = new Set(given);
      const heirs = quiet.filter(({ shard }) => gone.has(shard)).map(({ heir }) => heir);
      this.#tell(heirs.filter((heir) => heir !== null));
    }
    // What stays has no heir any more.
    if (given.length < quiet.length) this.#tending?.wake();
  }

  #drop(shards: readonly number[]): void {
    if (shards.length === 0) return;
    for (const shard of shards) {
      this.#shards.delete(shard);
      this.#leaving.delete(shard);
    }
    this.#options.signals?.unfollow(shards);
    this.#options.instruments.metrics.shardsHeld.set(this.#shards.size);
    this.#options.onReleased(new Set(shards));
  }

  #concerns(worker: string | null): boolean {
    return worker === null || worker === this.#life?.worker;
  }

  #tell(workers: readonly (string | null)[]): void {
    for (const worker of new Set(workers)) this.#options.signals?.publish({ kind: 'ownership', worker });
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
    log.event('database.another_history', { reason, stored: nameOfHistory(stored), seen: nameOfHistory(seen) });
    telemetry.emit('database.another_history', { reason });
  }

  #lose(life: Life, reason: 'lease_ended' | 'another_history'): void {
    const { instruments, onLost } = this.#options;
    this.#forgetShards();
    const { worker, generation } = life;
    instruments.log.event('ownership.lost', { worker, generation, reason });
    instruments.telemetry.emit('ownership.lost', { worker, reason });
    onLost();
  }

  #forgetShards(): void {
    this.#life = null;
    this.#options.signals?.unfollow([...this.#shards]);
    this.#shards.clear();
    this.#leaving.clear();
    this.#options.instruments.metrics.shardsHeld.set(0);
    this.#departure?.done();
  }

  async #release(): Promise<void> {
    const life = this.#life;
    if (life === null || !this.#ending) return;
    const left = this.#shards.size > 0;
    this.#forgetShards();
    // Where the store is away the lease ends by itself.
    await this.#options.store.release(life.worker).catch((error: unknown) => this.storeFailed(error));
    if (left) this.#tell([null]);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#options.clock.after(STORE_RETRY_MS, resolve));
  }
}

const STORE_RETRY_MS = 250;
/** So many leases long nothing but renewals works, and the process ends. */
const UNABLE_LEASES = 3;
/** Somebody else is planning, or what was planned from has changed meanwhile. */
const PLAN_AGAIN_MS = 50;

/** Whom a move concerns at once: an owner that is to hand over, or who got the shard of nobody. */
function concerned({ from, to }: ShardMove): string[] {
  return [from, to].filter((worker) => worker !== null);
}
