/** How long nobody works on a shard: from when its owner stops claiming or dies until the next one has read its rooms. */

export type Cause = 'hand-over' | 'death';

export interface Standstill {
  readonly cause: Cause;
  readonly ms: number;
  readonly rooms: number;
}

interface Shard {
  /** Who works on it; null while nobody does. */
  worker: string | null;
  /** Who did before. */
  last: string | null;
  stoppedAt: number;
  cause: Cause;
}

export class Service {
  readonly rooms: Uint32Array;
  readonly #shards: Shard[];
  #standstills: Standstill[] = [];
  #moved = 0;
  /** Shards that nobody works on now. */
  idle: number;

  constructor(rooms: Uint32Array) {
    this.rooms = rooms;
    this.idle = rooms.length;
    this.#shards = Array.from(rooms, () => ({ worker: null, last: null, stoppedAt: 0, cause: 'death' }));
  }

  stopped(shard: number, worker: string, now: number, cause: Cause): void {
    const entry = this.#shards[shard] as Shard;
    // An owner that dies with a shard that it was handing over: the rooms stand still since it stopped claiming there.
    if (entry.worker === null && entry.last === worker) entry.cause = cause;
    if (entry.worker !== worker) return;
    entry.worker = null;
    entry.stoppedAt = now;
    entry.cause = cause;
    this.idle++;
  }

  /** The worker has died or lost its lease. */
  lost(worker: string, now: number): void {
    this.#shards.forEach(({ last }, shard) => {
      if (last === worker) this.stopped(shard, worker, now, 'death');
    });
  }

  /** Nobody works on it since this worker stopped to hand it over. */
  isIdleSince(shard: number, worker: string): boolean {
    const entry = this.#shards[shard] as Shard;
    return entry.worker === null && entry.last === worker && entry.cause === 'hand-over';
  }

  /** Returns who was working on the shard when it was taken up, which nobody may be. */
  resumed(shard: number, worker: string, now: number): string | null {
    const entry = this.#shards[shard] as Shard;
    if (entry.worker !== null) return entry.worker === worker ? null : entry.worker;
    if (entry.last !== null) {
      this.#standstills.push({ cause: entry.cause, ms: now - entry.stoppedAt, rooms: this.rooms[shard] ?? 0 });
      if (entry.last !== worker) this.#moved++;
    }
    entry.worker = worker;
    entry.last = worker;
    this.idle--;
    return null;
  }

  /** What there was since the last call. */
  take(): { readonly standstills: readonly Standstill[]; readonly moved: number } {
    const taken = { standstills: this.#standstills, moved: this.#moved };
    this.#standstills = [];
    this.#moved = 0;
    return taken;
  }

  /** Highest load over the mean, in shards and in rooms. */
  unevenness(workers: number): { readonly shards: number; readonly rooms: number } {
    const loads = new Map<string, { shards: number; rooms: number }>();
    let rooms = 0;
    this.#shards.forEach(({ worker }, shard) => {
      const held = this.rooms[shard] ?? 0;
      rooms += held;
      if (worker === null) return;
      const load = loads.get(worker) ?? { shards: 0, rooms: 0 };
      load.shards++;
      load.rooms += held;
      loads.set(worker, load);
    });
    const most = (of: (load: { shards: number; rooms: number }) => number): number =>
      Math.max(0, ...[...loads.values()].map(of));
    return {
      shards: (most((load) => load.shards) * workers) / this.#shards.length,
      rooms: (most((load) => load.rooms) * workers) / rooms,
    };
  }
}

/** The standstill that this part of the rooms does not exceed, in ms; null where there was none. */
export function quantileOverRooms(standstills: readonly Standstill[], part: number): number | null {
  const sorted = [...standstills].sort((a, b) => a.ms - b.ms);
  const all = sorted.reduce((sum, { rooms }) => sum + rooms, 0);
  let seen = 0;
  for (const { ms, rooms } of sorted) {
    seen += rooms;
    if (seen >= all * part) return ms;
  }
  return null;
}
