import type { SettableClock } from '../engine/ports.ts';

export interface TimeSources {
  /** Monotonic ms, from any origin. */
  readonly monotonic: () => number;
  /** Wall-clock ms since 1970. */
  readonly wall: () => number;
}

const MACHINE: TimeSources = { monotonic: () => performance.now(), wall: () => Date.now() };

/** While engine time is ahead of the database's it runs this much slower, until the two agree again. */
const SLEW = 0.5;

/** Longer delays overflow the runtime's timer, which then fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Engine time of a process: the database's, by samples, and monotonic time between them. It never goes back: a sample
 * that lies behind slows it down, one that lies ahead is taken over at once. Before the first sample, which is taken
 * over as it is, it is the machine's own wall clock.
 */
export function createSystemClock(sources: TimeSources = MACHINE): SettableClock {
  let synchronized = false;
  /** Engine time at `since`, were there nothing to catch up with. */
  let base = sources.wall();
  let since = sources.monotonic();
  /** How far engine time was ahead of the database's at `since`, in ms. */
  let ahead = 0;

  const exact = (monotonic: number): number => {
    const elapsed = monotonic - since;
    return base + elapsed + Math.max(0, ahead - elapsed * SLEW);
  };

  return {
    now: () => Math.floor(exact(sources.monotonic())),
    monotonic: sources.monotonic,
    synchronize(databaseTimeMs, sentAtMonotonicMs, receivedAtMonotonicMs) {
      // The database read its clock somewhere between the two instants; only what contradicts that is corrected.
      const monotonic = sources.monotonic();
      const earliest = databaseTimeMs + (monotonic - receivedAtMonotonicMs);
      const latest = databaseTimeMs + (monotonic - sentAtMonotonicMs);
      const current = synchronized ? exact(monotonic) : (earliest + latest) / 2;
      const corrected = Math.min(Math.max(current, earliest), latest);
      base = corrected;
      since = monotonic;
      ahead = Math.max(0, current - corrected);
      synchronized = true;
    },
    after(delayMs, callback) {
      let left = delayMs;
      let timer: NodeJS.Timeout;
      const arm = (): void => {
        const step = Math.min(left, LONGEST_TIMER_MS);
        left -= step;
        timer = setTimeout(left > 0 ? arm : callback, step);
      };
      arm();
      return () => clearTimeout(timer);
    },
  };
}
