/** What a worker knows of the others: how many there are, whose lease seems to have ended, and when to look again. */
import { DatabaseClock } from './database-clock.ts';
import type { FleetNews, OwnershipStore } from './fleet-ports.ts';
import type { Instruments } from './instruments.ts';
import type { Chance, SettableClock, Signals } from './ports.ts';
import type { StoreWork } from './store-work.ts';

export interface FleetWatchOptions {
  readonly store: Pick<OwnershipStore, 'glance' | 'expiredWorkers'>;
  readonly clock: SettableClock;
  readonly instruments: Instruments;
  readonly signals: Signals | null;
  readonly chance: Chance;
  readonly leaseMs: number;
  /** How often the fleet is looked at while no signals come, at most. */
  readonly pollEveryMs: number;
  readonly work: StoreWork;
}

/** Polling slows down as the fleet grows: all of it together looks once in so much time, in ms. */
const POLL_MS_PER_WORKER = 2;
/** A lease that seems to end may just be renewed. */
const LEASE_END_MARGIN_MS = 20;
const LEASE_END_SPREAD_MS = 150;

export class FleetWatch {
  readonly #options: FleetWatchOptions;
  readonly #databaseClock = new DatabaseClock();
  #others = 0;
  #unheard = 0;
  /** The longest life of anybody's lease. */
  #longestLeaseMs: number;

  constructor(options: FleetWatchOptions) {
    this.#options = options;
    this.#longestLeaseMs = options.leaseMs;
  }

  /** No other process is known. */
  get alone(): boolean {
    return this.#others === 0;
  }

  /** What was told by a statement that was sent at `sentAtMs` of the monotonic clock. */
  learn({ others, unheard, longestLeaseMs, databaseTimeMs }: FleetNews, sentAtMs: number): void {
    const { leaseMs, instruments } = this.#options;
    const { log, metrics } = instruments;
    this.#others = others;
    this.#longestLeaseMs = Math.max(leaseMs, longestLeaseMs ?? 0);
    this.noteTime(databaseTimeMs, sentAtMs);
    if (this.#unheard === unheard) return;
    this.#unheard = unheard;
    metrics.signalsUnheard.set(unheard);
    log.event('signals.divided', { count: unheard });
  }

  /** The database's time, read after `sentAtMs` of the monotonic clock. */
  noteTime(databaseTimeMs: number, sentAtMs: number): void {
    const { clock, instruments } = this.#options;
    const receivedAtMs = clock.monotonic();
    clock.synchronize(databaseTimeMs, sentAtMs, receivedAtMs);
    const setByMs = this.#databaseClock.look(databaseTimeMs, sentAtMs, receivedAtMs);
    if (setByMs === 0) return;
    this.#databaseClock.doubt(receivedAtMs + this.#longestLeaseMs);
    instruments.log.event('database.clock_set', { durationMs: Math.round(setByMs) });
  }

  async glance(worker: string): Promise<FleetNews> {
    const { store, clock, work } = this.#options;
    const sentAtMs = clock.monotonic();
    const news = await work.watch('reads', store.glance(worker));
    this.learn(news, sentAtMs);
    return news;
  }

  /** Workers that are to be fenced. */
  async dead({ nextLeaseEndMs }: FleetNews): Promise<string[]> {
    const { store, clock } = this.#options;
    const judged = this.#databaseClock;
    if (nextLeaseEndMs === null || nextLeaseEndMs > 0 || judged.doubtedForMs(clock.monotonic()) > 0) return [];
    const ended = await store.expiredWorkers();
    // More than a whole lease is left: the clock was set back. Whoever lives renews before the longest lease is over.
    const isAhead = ended.some(({ leaseLeftMs }) => leaseLeftMs > 0);
    if (isAhead && !judged.wasDoubted) judged.doubt(clock.monotonic() + this.#longestLeaseMs);
    const mayBeAlive = judged.doubtedForMs(clock.monotonic()) > 0;
    return ended.filter(({ leaseLeftMs }) => leaseLeftMs <= 0 || !mayBeAlive).map(({ worker }) => worker);
  }

  /** When to look again, in ms. Renewals bring news, too. */
  nextLookMs({ nextLeaseEndMs }: FleetNews): number {
    const { signals, pollEveryMs, chance, clock } = this.#options;
    const pollMs = Math.max(pollEveryMs, this.#others * POLL_MS_PER_WORKER);
    const due = this.alone || signals?.live === true ? Number.POSITIVE_INFINITY : pollMs;
    if (nextLeaseEndMs === null) return due;
    const untilEndMs = Math.max(nextLeaseEndMs, this.#databaseClock.doubtedForMs(clock.monotonic()), 0);
    // Not all at the same moment: whoever comes first fences and plans for all.
    return Math.min(due, untilEndMs + LEASE_END_MARGIN_MS + chance() * LEASE_END_SPREAD_MS);
  }
}
