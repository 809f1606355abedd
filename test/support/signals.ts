/** Signals between the processes of one test: as good or as bad as it wants them. */
import type { Signal, Signals } from '../../src/engine/ports.ts';

export class SignalBus {
  live = true;
  lapses = 0;
  /** What becomes of a signal on its way: how often it arrives. */
  copies: (signal: Signal) => number = () => 1;
  readonly sent: Signal[] = [];
  readonly #ports = new Set<Port>();

  /** One process's end of it. */
  port(): Signals {
    const port = new Port(this);
    this.#ports.add(port);
    return port;
  }

  /** Hands a signal to every process but its sender. */
  deliver(signal: Signal, from: Port | null = null): void {
    for (const port of this.#ports) if (port !== from) port.hear(signal);
  }
}

class Port implements Signals {
  readonly #bus: SignalBus;
  readonly #shards = new Set<number>();
  readonly #listeners = new Set<(signal: Signal) => void>();

  constructor(bus: SignalBus) {
    this.#bus = bus;
  }

  get live(): boolean {
    return this.#bus.live;
  }

  get lapses(): number {
    return this.#bus.lapses;
  }

  publish(signal: Signal): void {
    this.#bus.sent.push(signal);
    const copies = this.#bus.live ? this.#bus.copies(signal) : 0;
    for (let n = 0; n < copies; n++) queueMicrotask(() => this.#bus.deliver(signal, this));
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
