/**
 * One process is a filter on events: dead, nothing reaches it any more, neither timers nor answers; paused (like
 * SIGSTOP), everything reaches it when it goes on, while its monotonic clock has run. What it sent before stays sent.
 */
import { createSystemClock } from '../../src/adapters/system-clock.ts';
import type { Engine } from '../../src/engine/engine.ts';
import type { SettableClock } from '../../src/engine/ports.ts';
import type { Victim } from './failpoints.ts';
import type { VirtualTime } from './time.ts';

/** How this process's machine tells time. */
export interface Machine {
  /** Monotonic ms when the process began. */
  readonly monotonicStart: number;
  /** How far its wall clock is off, in ms. */
  readonly wallOffset: number;
  /** Its seconds per true second. */
  readonly speed: number;
}

export class SimProcess implements Victim {
  readonly name: string;
  readonly slot: number;
  readonly clock: SettableClock;
  /** Set once its engine is built. */
  engine: Engine | null = null;
  dead = false;
  /** A graceful end is under way. */
  stopping = false;
  #pausedUntil = 0;
  /** What reached it while it was paused, in order. */
  readonly #arrived: (() => void)[] = [];
  #wallOffset: number;
  readonly #time: VirtualTime;
  readonly #bootedAt: number;
  readonly #machine: Machine;
  readonly #onCrash: (process: SimProcess, downMs: number) => void;

  constructor(
    name: string,
    slot: number,
    time: VirtualTime,
    machine: Machine,
    onCrash: (process: SimProcess, downMs: number) => void,
  ) {
    this.name = name;
    this.slot = slot;
    this.#time = time;
    this.#bootedAt = time.now;
    this.#machine = machine;
    this.#wallOffset = machine.wallOffset;
    this.#onCrash = onCrash;
    const monotonic = (): number => machine.monotonicStart + (time.now - this.#bootedAt) * machine.speed;
    this.clock = {
      ...createSystemClock({ monotonic, wall: () => time.now + this.#wallOffset }),
      after: (delayMs, callback) => this.#after(delayMs, callback),
    };
  }

  get paused(): boolean {
    return this.#time.now < this.#pausedUntil;
  }

  get running(): boolean {
    return !this.dead && !this.paused;
  }

  crash(downMs: number): void {
    if (this.dead) return;
    this.dead = true;
    this.#onCrash(this, downMs);
  }

  pause(forMs: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#time.now + forMs);
  }

  stepWall(byMs: number): void {
    this.#wallOffset += byMs;
  }

  /** Does something in the process as soon as it runs; never, where it is or ends up dead before that. */
  enter(run: () => void): void {
    if (this.dead) return;
    if (!this.paused && this.#arrived.length === 0) {
      run();
      return;
    }
    this.#arrived.push(run);
    if (this.#arrived.length === 1) this.#catchUp(this.#pausedUntil - this.#time.now);
  }

  /** After a pause everything that came meanwhile is done one after the other, in its order. */
  #catchUp(afterMs: number): void {
    this.#time.after(afterMs, () => {
      if (this.dead) return;
      if (this.paused) {
        this.#catchUp(this.#pausedUntil - this.#time.now);
        return;
      }
      this.#arrived.shift()?.();
      if (this.#arrived.length > 0) this.#catchUp(0);
    });
  }

  #after(delayMs: number, callback: () => void): () => void {
    let cancelled = false;
    const cancel = this.#time.after(delayMs / this.#machine.speed, () =>
      this.enter(() => {
        if (!cancelled) callback();
      }),
    );
    return () => {
      cancelled = true;
      cancel();
    };
  }
}
