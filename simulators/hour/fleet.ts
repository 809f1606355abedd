/** The processes of an hour: the real engine in each, all on one database and one number. */
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import type { Stores } from '../../src/engine/ports.ts';
import { createReferences } from '../../src/engine/reference.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { chanceFor, type WorldChance } from '../world/chance.ts';
import { linkDatabase } from '../world/database.ts';
import { Failpoints } from '../world/failpoints.ts';
import { Leases } from '../world/leases.ts';
import { SimProcess } from '../world/process.ts';
import { endOfTurn, type VirtualTime } from '../world/time.ts';
import type { Judge } from './judge.ts';
import type { VirtualNumber } from './number.ts';
import type { HourSettings } from './settings.ts';

export interface FleetOptions {
  readonly seed: number;
  readonly processes: number;
  readonly time: VirtualTime;
  readonly stores: Stores;
  readonly number: VirtualNumber;
  readonly judge: Judge;
  readonly settings: HourSettings;
  /** For tests that plant a bug. */
  readonly spoil: ((engine: Engine) => void) | null;
}

/** A channel's change of state, as a process logs it. */
export interface StateChange {
  readonly at: number;
  readonly process: string;
  readonly state: string;
}

const STEADY_MACHINE = { monotonicStart: 0, wallOffset: 0, speed: 1 };
const NO_FAULTS = { failBefore: 0, loseBefore: 0, runThenFail: 0, executeLate: 0, stall: 0, busy: 0 };
const NO_WINDOW = { faults: NO_FAULTS, down: false, cut: 'none' } as const;
const REFERENCES = createReferences('simulation');
const HASH = recipientHasher('simulation');
const METRICS = createMetrics({ version: 'simulation' });

export class Fleet {
  readonly states: StateChange[] = [];
  readonly #options: FleetOptions;
  readonly #pick: WorldChance;
  readonly #alive: SimProcess[] = [];
  #lives = 0;
  kills = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#pick = chanceFor(options.seed, 'pick');
  }

  boot(): void {
    for (let slot = 0; slot < this.#options.processes; slot++) this.#boot(slot);
  }

  /** Some process that lives. */
  readonly pick = (): SimProcess | null => (this.#alive.length === 0 ? null : this.#pick.pick(this.#alive));

  /** Ends a process as kill -9 does; another takes its place. */
  kill(downMs: number): void {
    this.kills++;
    this.#alive[0]?.crash(downMs);
  }

  #boot(slot: number): void {
    const { seed, time, stores, number, judge, settings, spoil } = this.#options;
    const name = `${slot}.${++this.#lives}`;
    const process = new SimProcess(name, slot, time, STEADY_MACHINE, (dead, downMs) => {
      this.#alive.splice(this.#alive.indexOf(dead), 1);
      judge.died(dead.name);
      time.after(downMs, () => this.#boot(slot));
    });
    const linked = linkDatabase(stores, {
      process,
      time,
      chance: chanceFor(seed, 'link', name),
      failpoints: new Failpoints(seed, [], () => undefined),
      state: () => NO_WINDOW,
      count: () => undefined,
      leases: new Leases((what) => judge.broken(`leases: ${what}`)),
      steady: false,
    });
    const channel = number.channelFor(process);
    const engine = createEngine(
      { ...settings.engine, name: `node-${slot}` },
      {
        stores: linked,
        clock: process.clock,
        chance: chanceFor(seed, 'life', name).uniform,
        endOfTurn,
        references: REFERENCES,
        channels: [settings.channel],
        platform: () => channel,
        sharedRates: null,
        signals: null,
        instruments: {
          log: {
            event: (event, fields) => {
              if (event === 'liveness.violated') judge.broken(`R6: ${name} found a claimable room unattended twice`);
              if (event === 'channel.state') this.#note(name, fields);
            },
            flush: () => undefined,
            writes: () => true,
          },
          // A process that is killed never says that it no longer wants to be asked.
          metrics: { ...METRICS, beforeRender: new Set<() => void>() },
          telemetry: new Telemetry(),
          hash: HASH,
        },
        newWorkerId: () => name,
        isPermanent: () => false,
        onFailure: (error) => judge.broken(`R6: ${name} cannot go on: ${String(error)}`),
      },
    );
    spoil?.(engine);
    process.engine = engine;
    this.#alive.push(process);
    engine.service.start().catch((error: unknown) => judge.broken(`R6: ${name} does not start: ${String(error)}`));
  }

  #note(process: string, fields: object): void {
    const { state } = fields as { state: string };
    this.states.push({ at: this.#options.time.now, process, state });
  }
}
