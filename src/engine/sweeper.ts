/**
 * Signals are hints; this is what finds every room all the same. It scans the shards that this process holds and hands
 * what it finds to `Rooms`, which speaks in events through the same compare-and-set as the hot path. While signals cannot
 * be expected to arrive, and once more when they can again, it looks besides at the rows that were written since it last
 * looked: often, because that is cheap.
 */

import type { RoomAddress } from '../room/room.ts';
import type { Channels } from './channels.ts';
import type { Hints } from './hints.ts';
import type { Instruments } from './instruments.ts';
import type { Ownership } from './ownership.ts';
import type { Clock, RoomStore, Signals, StoredRoom, SweepPage } from './ports.ts';
import { reportViolation } from './report.ts';
import type { Rooms } from './rooms.ts';
import { defineService, runLoop, type Service } from './service.ts';

/** What is read of many rooms at once. */
export type ScannedStore = Pick<RoomStore, 'scan' | 'sweep' | 'changedSince'>;

export interface SweeperOptions {
  readonly store: ScannedStore;
  readonly rooms: Rooms;
  readonly ownership: Ownership;
  readonly channels: Channels;
  readonly clock: Clock;
  readonly everyMs: number;
  /** How often it looks while no signals can be expected. */
  readonly withoutSignalsMs: number;
  /** Null: none are configured. */
  readonly signals: Signals | null;
  readonly hints: Hints;
  readonly instruments: Instruments;
  readonly onFailure: (error: unknown) => void;
}

const PAGE = 500;

/** Shards that are read and looked at before the next ones. */
const SHARDS_AT_ONCE = 256;

/** A sweep that takes long comes so much more rarely that it has no more than this share of the time, … */
const SWEEP_SHARE = 0.05;
/** … but never later than so many times the usual wait: it is what finds a room that everything else has missed. */
const LONGEST_WAITS = 6;

/** Where no others are known, it is asked so often whether there are. */
const ALONE_LOOK_MS = 1_000;

export interface Sweeper {
  readonly service: Service;
  /**
   * Takes up the rooms of shards that have just become ours. Resolves when all are read.
   * @throws what the store throws; the next sweep finds what was missed then
   */
  acquired(shards: readonly number[]): Promise<void>;
  /** Signals were missed: the next look is now. */
  lookNow(): void;
}

export function createSweeper(options: SweeperOptions): Sweeper {
  const looking = new Looking(options);
  let wake = (): void => undefined;
  const service = defineService('sweeper', (scope) => {
    const { clock, onFailure, everyMs, instruments } = options;
    const { beforeRender } = instruments.metrics;
    const tell = (): void => tellQueues(options);
    beforeRender.add(tell);
    scope.onStop(() => void beforeRender.delete(tell));
    let sweepAt = Number.NEGATIVE_INFINITY;
    const loop = runLoop(
      async () => {
        const begunAt = clock.monotonic();
        if (looking.isDue()) await looking.look();
        if (clock.monotonic() >= sweepAt) {
          const sweepBegunAt = clock.monotonic();
          const isWhole = await sweep(options);
          const endedAt = clock.monotonic();
          const restMs = isWhole ? (endedAt - sweepBegunAt) * (1 / SWEEP_SHARE - 1) : 0;
          sweepAt = endedAt + Math.min(Math.max(everyMs, restMs), LONGEST_WAITS * everyMs);
        }
        const now = clock.monotonic();
        // From begin to begin; where the store is slow, it is left alone for half of the time.
        const untilLookMs = Math.max(looking.everyMs / 2, begunAt + looking.everyMs - now);
        // Whole ones: a fraction may be too small to move a clock at all.
        return Math.min(Math.max(0, Math.ceil(sweepAt - now)), untilLookMs);
      },
      { timers: { schedule: (delayMs, callback) => clock.after(delayMs, callback) }, onFailure },
    );
    wake = () => loop.wake();
    scope.onStop(() => loop.stop());
  });
  return {
    service,
    acquired: (shards) => looking.takeUp(shards),
    lookNow() {
      looking.owe();
      wake();
    },
  };
}

/** The look at what was written lately. */
class Looking {
  readonly #options: SweeperOptions;
  /** What the last look has seen. */
  #seen: string | null = null;
  #wasBlind = false;
  #lapses = 0;
  /** Something may have been missed since the last look. */
  #owed = true;
  /** Shards whose rooms are being read for the first time, and how often that has begun. */
  readonly #fresh = new Set<number>();
  /** Shards whose rooms have been read, and whose signals may have come too late for what was written meanwhile. */
  readonly #unheard = new Set<number>();
  #begun = 0;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  get everyMs(): number {
    const { signals, ownership, withoutSignalsMs } = this.#options;
    return signals === null && ownership.alone ? ALONE_LOOK_MS : withoutSignalsMs;
  }

  owe(): void {
    this.#owed = true;
  }

  isDue(): boolean {
    const { signals, ownership } = this.#options;
    const blind = signals === null ? !ownership.alone : !signals.live || this.#unheard.size > 0;
    for (const shard of this.#unheard) {
      if (signals?.hears([shard]) !== false || !ownership.holds(shard)) this.#unheard.delete(shard);
    }
    const lapses = signals?.lapses ?? 0;
    // What was written before signals could be expected again is looked at once they can.
    if (blind || this.#wasBlind || lapses !== this.#lapses) this.#owed = true;
    this.#wasBlind = blind;
    this.#lapses = lapses;
    return this.#owed;
  }

  async look(): Promise<void> {
    const { store, ownership, hints } = this.#options;
    // Fresh ones have a look of their own, which comes late only where no signals do.
    const shards = [...ownership.shards].filter((shard) => this.#wasBlind || !this.#fresh.has(shard));
    // Before there are any it only remembers from when on to look.
    if (shards.length === 0 && this.#seen !== null) return;
    this.#owed = false;
    const begun = this.#fresh.size === 0 ? this.#begun : null;
    try {
      const { now, rooms } = await store.changedSince(shards, this.#seen);
      // Shards that have come since it asked, or were fresh then, have not been looked at.
      if ((!this.#owed && begun === this.#begun) || this.#seen === null) this.#seen = now;
      hints.compare(rooms);
    } catch (error) {
      this.#owed = true;
      ownership.storeFailed(error);
    }
  }

  /** Reads the rooms of shards, and then those that were written before the shards' signals arrived. */
  async takeUp(shards: readonly number[]): Promise<void> {
    this.#begun++;
    for (const shard of shards) this.#fresh.add(shard);
    try {
      for (let first = 0; first < shards.length; first += SHARDS_AT_ONCE) {
        await this.#takeUp(shards.slice(first, first + SHARDS_AT_ONCE));
      }
    } catch (error) {
      this.#owed = true;
      throw error;
    } finally {
      for (const shard of shards) this.#fresh.delete(shard);
    }
  }

  async #takeUp(shards: readonly number[]): Promise<void> {
    const { store, hints, signals } = this.#options;
    const { now: since } = await store.changedSince([], null);
    await this.#readAll(shards);
    const heard = signals?.hears(shards) === true;
    hints.compare((await store.changedSince(shards, since)).rooms);
    for (const shard of shards) this.#fresh.delete(shard);
    if (!heard) for (const shard of shards) this.#unheard.add(shard);
  }

  async #readAll(shards: readonly number[]): Promise<void> {
    const { store, rooms } = this.#options;
    let after: RoomAddress | null = null;
    for (;;) {
      const page: StoredRoom[] = await store.scan(shards, PAGE, after);
      for (const stored of page) rooms.found(stored, 'take_over');
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return;
      after = { shard: last.row.shard, id: last.row.id };
    }
  }
}

/** How many rooms are in memory, and how many of them wait for a permit, at the moment of asking. */
function tellQueues({ rooms, channels, instruments }: SweeperOptions): void {
  instruments.metrics.roomsActive.set(rooms.size);
  const { permitQueue, ackTimeoutSeconds } = instruments.metrics;
  for (const { name, queued, view } of channels.all()) {
    permitQueue.set({ channel: name }, queued);
    ackTimeoutSeconds.set({ channel: name }, view.ackTimeoutMs / 1000);
  }
}

/** False where the store failed on the way. */
async function sweep(options: SweeperOptions): Promise<boolean> {
  const { store, ownership, instruments, rooms, clock } = options;
  const shards = [...ownership.shards];
  if (shards.length === 0) return true;
  const found = new Set<number>();
  let violations = 0;
  try {
    const now = clock.now();
    let from: string | null = null;
    do {
      const page: SweepPage = await store.sweep(shards, now, PAGE, from);
      for (const stored of page.rooms) {
        // Twice in one sweep is not what twice in a row is.
        if (found.has(stored.row.id)) continue;
        found.add(stored.row.id);
        if (rooms.found(stored, 'sweep')) continue;
        violations++;
        reportViolation(instruments, stored.row);
      }
      from = page.next;
    } while (from !== null);
  } catch (error) {
    ownership.storeFailed(error);
    return false;
  }
  instruments.metrics.livenessViolations.set(violations);
  instruments.telemetry.emit('sweep.finished', { rooms: found.size, violations });
  return true;
}
