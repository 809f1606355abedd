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
import type { Clock, RoomStore, Signals } from './ports.ts';
import { reportViolation } from './report.ts';
import type { Rooms } from './rooms.ts';
import { defineService, runLoop, type Service } from './service.ts';

export interface SweeperOptions {
  readonly store: RoomStore;
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

/** Where no others are known, it is asked so often whether there are. */
const ALONE_LOOK_MS = 1_000;

export interface Sweeper {
  readonly service: Service;
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
          await sweep(options);
          sweepAt = clock.monotonic() + everyMs;
        }
        const now = clock.monotonic();
        // From begin to begin; where the store is slow, it is left alone for half of the time.
        const untilLookMs = Math.max(looking.everyMs / 2, begunAt + looking.everyMs - now);
        return Math.min(Math.max(0, sweepAt - now), untilLookMs);
      },
      { timers: { schedule: (delayMs, callback) => clock.after(delayMs, callback) }, onFailure },
    );
    wake = () => loop.wake();
    scope.onStop(() => loop.stop());
  });
  return {
    service,
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
    const blind = signals === null ? !ownership.alone : !signals.live;
    const lapses = signals?.lapses ?? 0;
    // What was written before signals could be expected again is looked at once they can.
    if (blind || this.#wasBlind || lapses !== this.#lapses) this.#owed = true;
    this.#wasBlind = blind;
    this.#lapses = lapses;
    return this.#owed;
  }

  async look(): Promise<void> {
    const { store, ownership, hints } = this.#options;
    const shards = [...ownership.shards];
    // Before there are any it only remembers from when on to look.
    if (shards.length === 0 && this.#seen !== null) return;
    this.#owed = false;
    try {
      const { now, rooms } = await store.changedSince(shards, this.#seen);
      // Shards that have come since it asked have not been looked at.
      if (!this.#owed || this.#seen === null) this.#seen = now;
      hints.compare(rooms);
    } catch (error) {
      this.#owed = true;
      ownership.storeFailed(error);
    }
  }
}

/** How many rooms are in memory, and how many of them wait for a permit, at the moment of asking. */
function tellQueues({ rooms, channels, instruments }: SweeperOptions): void {
  instruments.metrics.roomsActive.set(rooms.size);
  for (const channel of channels.all()) instruments.metrics.permitQueue.set({ channel: channel.name }, channel.queued);
}

async function sweep(options: SweeperOptions): Promise<void> {
  const { ownership, instruments, rooms } = options;
  const shards = [...ownership.shards];
  if (shards.length === 0) return;
  let found = 0;
  let violations = 0;
  try {
    await readAll(options.store, shards, 'due', options.clock.now(), (stored) => {
      found++;
      if (rooms.found(stored, 'sweep')) return;
      violations++;
      reportViolation(instruments, stored.row);
    });
  } catch (error) {
    ownership.storeFailed(error);
    return;
  }
  instruments.metrics.livenessViolations.set(violations);
  instruments.telemetry.emit('sweep.finished', { rooms: found, violations });
}

/** Calls back for every room that the scan finds, page by page. */
export async function readAll(
  store: RoomStore,
  shards: readonly number[],
  which: 'all' | 'due',
  now: number,
  each: (stored: Awaited<ReturnType<RoomStore['scan']>>[number]) => void,
): Promise<void> {
  let after: RoomAddress | null = null;
  for (;;) {
    const page: Awaited<ReturnType<RoomStore['scan']>> = await store.scan(shards, which, now, PAGE, after);
    for (const stored of page) each(stored);
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = { shard: last.row.shard, id: last.row.id };
  }
}
