/**
 * Signals between the processes of a world: each may be lost, come twice or late, and for a while nothing comes at all,
 * which its listeners notice after a moment.
 */
import type { Signal, Signals } from '../../src/engine/ports.ts';
import { chanceFor, type WorldChance } from './chance.ts';
import type { SignalsPlan } from './plan.ts';
import type { SimProcess } from './process.ts';
import type { VirtualTime } from './time.ts';

export interface WorldSignalsOptions {
  readonly seed: number;
  readonly plan: SignalsPlan;
  readonly time: VirtualTime;
  readonly count: (fault: string) => void;
  /** Nothing is lost, and all ways are the same. */
  readonly steady: boolean;
}

/** From the moment when nothing comes any more until that is noticed. */
const NOTICED_MS = 300;

export class WorldSignals {
  readonly #options: WorldSignalsOptions;
  readonly #ports = new Set<Port>();
  #down = false;
  #noticed = false;
  #lapses = 0;

  constructor(options: WorldSignalsOptions) {
    this.#options = options;
    const { plan, time, count, steady } = options;
    for (const { at, forMs } of steady ? [] : plan.outages) {
      time.after(at, () => {
        count('signals_down');
        this.#down = true;
      });
      time.after(at + NOTICED_MS, () => this.#notice());
      time.after(at + forMs, () => {
        this.#down = false;
        this.#noticed = false;
        this.#lapses++;
      });
    }
  }

  get live(): boolean {
    return !this.#noticed;
  }

  get lapses(): number {
    return this.#lapses;
  }

  /** One process's end of it. */
  port(process: SimProcess, life: number): Signals {
    const port = new Port(this, process, chanceFor(this.#options.seed, 'signals', life));
    this.#ports.add(port);
    return port;
  }

  send(signal: Signal, from: Port, chance: WorldChance): void {
    const { plan, time, count, steady } = this.#options;
    if (this.#down) return;
    const copies = steady ? 1 : this.#copies(chance);
    if (copies !== 1) count(copies === 0 ? 'signal_lost' : 'signal_doubled');
    for (let n = 0; n < copies; n++) {
      const late = !steady && chance.hit(plan.late);
      if (late) count('signal_late');
      time.after(steady ? 1 : 0.2 + chance.around(late ? 800 : 1), () => this.#deliver(signal, from));
    }
  }

  #copies(chance: WorldChance): number {
    const { lose, double } = this.#options.plan;
    if (chance.hit(lose)) return 0;
    return chance.hit(double) ? 2 : 1;
  }

  #notice(): void {
    if (this.#down) this.#noticed = true;
  }

  #deliver(signal: Signal, from: Port): void {
    if (this.#down) return;
    for (const port of this.#ports) {
      if (port.process.dead) this.#ports.delete(port);
      else if (port !== from) port.process.enter(() => port.hear(signal));
    }
  }
}

class Port implements Signals {
  readonly process: SimProcess;
  readonly #bus: WorldSignals;
  readonly #chance: WorldChance;
  readonly #shards = new Set<number>();
  readonly #listeners = new Set<(signal: Signal) => void>();

  constructor(bus: WorldSignals, process: SimProcess, chance: WorldChance) {
    this.#bus = bus;
    this.process = process;
    this.#chance = chance;
  }

  get live(): boolean {
    return this.#bus.live;
  }

  get lapses(): number {
    return this.#bus.lapses;
  }

  publish(signal: Signal): void {
    if (!this.process.dead) this.#bus.send(signal, this, this.#chance);
  }

  follow(shards: readonly number[]): void {
    for (const shard of shards) this.#shards.add(shard);
  }

  unfollow(shards: readonly number[]): void {
    for (const shard of shards) this.#shards.delete(shard);
  }

  hears(shards: readonly number[]): boolean {
    return this.live && shards.every((shard) => this.#shards.has(shard));
  }

  listen(listener: (signal: Signal) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  hear(signal: Signal): void {
    if (signal.kind === 'room' && !this.#shards.has(signal.shard)) return;
    for (const listener of [...this.#listeners]) listener(signal);
  }
}
