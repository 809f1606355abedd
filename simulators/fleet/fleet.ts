/** Workers of a fleet: the real ownership in each, on one store, with rooms as counts. */

import { createDatabase } from '../../src/adapters/memory/database.ts';
import { MemoryOwnershipStore } from '../../src/adapters/memory/ownership.ts';
import type { OwnershipStore } from '../../src/engine/fleet-ports.ts';
import { Ownership } from '../../src/engine/ownership.ts';
import type { Signal, Signals } from '../../src/engine/ports.ts';
import { StoreWork } from '../../src/engine/store-work.ts';
import { handOverLimitMs } from '../../src/room/shard.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { chanceFor, type WorldChance } from '../world/chance.ts';
import { SimProcess } from '../world/process.ts';
import { VirtualTime } from '../world/time.ts';
import { Service } from './standstill.ts';
import { linkStore, Statements } from './statements.ts';

export interface FleetSettings {
  readonly seed: number;
  readonly shards: number;
  readonly rooms: number;
  /** Signals between the workers; without, each looks for itself. */
  readonly signals: boolean;
  readonly leaseMs: number;
  readonly renewEveryMs: number;
  readonly pollEveryMs: number;
  readonly sendTimeoutMs: number;
}

interface Worker {
  readonly process: SimProcess;
  readonly ownership: Ownership;
  readonly listeners: Set<(signal: Signal) => void>;
}

const MACHINE = { monotonicStart: 0, wallOffset: 0, speed: 1 };
const METRICS = createMetrics({ version: 'simulation' });
const HASH = recipientHasher('simulation');
const START_MS = 1_700_000_000_000;
const OBSERVER = 'observer';
/** Signals of one process within this time travel together. */
const FLUSH_MS = 2;
const SIGNAL_WAY_MS = 1;
/** In this part of the shards a send is open when they are to be handed over; it ends after as long, on average. */
const OPEN_SENDS = 0.5;
const OPEN_SEND_MS = 100;
/** The part of the rooms that are not at rest: these are read when a shard is taken up. */
const ACTIVE = 0.05;
const READ_ROOM_MS = 0.02;

export class Fleet {
  readonly time: VirtualTime;
  readonly service: Service;
  statements = new Statements();
  /** What must not happen, in words. */
  readonly broken: string[] = [];
  readonly #settings: FleetSettings;
  readonly #store: OwnershipStore;
  readonly #chance: WorldChance;
  /** By the name of the node, oldest first. */
  readonly #workers = new Map<string, Worker>();
  #born = 0;

  constructor(settings: FleetSettings, rooms: Uint32Array) {
    this.#settings = settings;
    this.#chance = chanceFor(settings.seed, 'fleet');
    this.time = new VirtualTime(START_MS, chanceFor(settings.seed, 'ties').uniform);
    this.service = new Service(rooms);
    this.#store = new MemoryOwnershipStore(createDatabase(settings.shards, () => Math.floor(this.time.now)));
  }

  get size(): number {
    return this.#workers.size;
  }

  /** Nodes by name, oldest first. */
  get nodes(): readonly string[] {
    return [...this.#workers.keys()];
  }

  /** Starts workers, each at a moment of its own within so many ms. */
  join(count: number, withinMs: number): void {
    for (let n = 0; n < count; n++) this.time.after(this.#chance.uniform() * withinMs, () => this.#boot());
  }

  crash(node: string): void {
    this.#workers.get(node)?.process.crash(0);
  }

  /** A graceful end: the worker hands its shards over, then goes. */
  async leave(node: string): Promise<void> {
    const worker = this.#workers.get(node);
    if (worker === undefined) throw new Error(`there is no node ${node}`);
    await worker.ownership.leave(handOverLimitMs(this.#settings.leaseMs));
    await worker.ownership.service.stop();
    worker.process.dead = true;
    this.#workers.delete(node);
  }

  /** Every worker has its lease, every shard is worked on, and none is to go to another. */
  async isSettled(): Promise<boolean> {
    if (this.service.idle > 0) return false;
    for (const { ownership } of this.#workers.values()) if (!ownership.isAlive) return false;
    const { membership, planned } = await this.#store.glance(OBSERVER);
    return planned >= membership && (await this.#store.view()).shards.every(({ heir }) => heir === null);
  }

  /** How many shards a worker holds, as it knows. */
  shardsOf(node: string): number {
    return this.#workers.get(node)?.ownership.shards.size ?? 0;
  }

  #boot(): void {
    const node = `node-${this.#born++}`;
    const { settings, time, service } = { settings: this.#settings, time: this.time, service: this.service };
    const chance = chanceFor(settings.seed, 'worker', node);
    const process: SimProcess = new SimProcess(node, 0, time, MACHINE, () => this.#died(node));
    const listeners = new Set<(signal: Signal) => void>();
    /** Shards with an open send, while they are being handed over. */
    const open = new Set<number>();
    const ownership: Ownership = new Ownership({
      store: linkStore(this.#store, {
        process,
        time,
        chance,
        shards: settings.shards,
        onStatement: (name, read, written) => this.statements.note(name, time.now, read, written),
      }),
      clock: process.clock,
      signals: settings.signals ? this.#signalsOf(node, listeners) : null,
      instruments: {
        log: {
          event: (event) => {
            if (UNEXPECTED.has(event)) this.broken.push(`${node}: ${event}`);
          },
          flush: () => undefined,
          writes: () => true,
        },
        metrics: METRICS,
        telemetry: new Telemetry(),
        hash: HASH,
      },
      chance: chance.uniform,
      newWorkerId: () => `${node}-${chance.between(0, 1e9)}`,
      name: node,
      roles: ['worker'],
      weight: 1,
      leaseMs: settings.leaseMs,
      renewEveryMs: settings.renewEveryMs,
      pollEveryMs: settings.pollEveryMs,
      hears: null,
      work: new StoreWork(process.clock),
      onBegun: () => Promise.resolve(),
      onAcquired: async (shards) => {
        const rooms = shards.reduce((sum, shard) => sum + (service.rooms[shard] ?? 0), 0);
        await new Promise<void>((resolve) => process.clock.after(1 + rooms * ACTIVE * READ_ROOM_MS, resolve));
        for (const shard of shards) {
          if (ownership.holds(shard) && !ownership.isLeaving(shard)) this.#resume(shard, node);
        }
      },
      onLeaving: (shards) => {
        for (const shard of shards) {
          service.stopped(shard, node, time.now, 'hand-over');
          if (!chance.hit(OPEN_SENDS)) continue;
          open.add(shard);
          process.clock.after(Math.min(chance.around(OPEN_SEND_MS), settings.sendTimeoutMs), () => {
            open.delete(shard);
            ownership.becameQuiet(shard);
          });
        }
      },
      isQuiet: (shard) => !open.has(shard),
      onReleased: (shards) => {
        for (const shard of shards) service.stopped(shard, node, time.now, 'hand-over');
      },
      onTrusted: () => {
        // Shards that it was to hand over and keeps after all.
        if (service.idle === 0) return;
        for (const shard of ownership.shards) if (!ownership.isLeaving(shard)) this.#keep(shard, node);
      },
      onLost: () => service.lost(node, time.now),
      onFailure: (error) => this.broken.push(`${node} cannot go on: ${String(error)}`),
    });
    this.#workers.set(node, { process, ownership, listeners });
    ownership.service.start().catch((error: unknown) => this.broken.push(`${node} does not start: ${String(error)}`));
  }

  #resume(shard: number, node: string): void {
    const other = this.service.resumed(shard, node, this.time.now);
    if (other === null) return;
    const owner = this.#workers.get(other);
    if (owner?.ownership.mayClaim(shard, 0) === true) {
      this.broken.push(`${node} works on shard ${shard} while ${other} does`);
    }
    // It has given the shard away and is yet to be told so.
    this.service.stopped(shard, other, this.time.now, 'hand-over');
    this.service.resumed(shard, node, this.time.now);
  }

  #keep(shard: number, node: string): void {
    if (this.service.isIdleSince(shard, node)) this.#resume(shard, node);
  }

  #died(node: string): void {
    this.service.lost(node, this.time.now);
    this.#workers.delete(node);
  }

  #signalsOf(node: string, listeners: Set<(signal: Signal) => void>): Signals {
    let waiting: Signal[] = [];
    const flush = (): void => {
      const signals = waiting;
      waiting = [];
      this.statements.flushes++;
      for (const [name, { process, listeners: others }] of this.#workers) {
        if (name === node) continue;
        process.enter(() => {
          for (const listener of others) for (const signal of signals) listener(signal);
        });
      }
    };
    return {
      live: true,
      lapses: 0,
      publish: (signal) => {
        waiting.push(signal);
        if (waiting.length === 1) this.time.after(FLUSH_MS + this.#chance.around(SIGNAL_WAY_MS), flush);
      },
      follow: () => undefined,
      unfollow: () => undefined,
      hears: () => true,
      listen: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    };
  }
}

/** In a world without faults nobody loses a lease or the database. */
const UNEXPECTED = new Set<string>(['ownership.lost', 'dependency.lost']);
