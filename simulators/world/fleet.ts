/** The processes of a world: who lives where, and what is done to them and to their links. */
import { createEngine, type EngineSettings } from '../../src/engine/engine.ts';
import type { ChannelSettings } from '../../src/engine/policy.ts';
import type { PlatformChannel, Stores } from '../../src/engine/ports.ts';
import { createReferences, type References } from '../../src/engine/reference.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { chanceFor, type WorldChance } from './chance.ts';
import type { Checker } from './checker.ts';
import { type LinkState, linkDatabase } from './database.ts';
import type { Failpoints } from './failpoints.ts';
import {
  type Act,
  LEASE_MS,
  LOOK_MS,
  type Plan,
  POLL_MS,
  RENEW_MS,
  SEND_TIMEOUT_MS,
  SHARDS,
  type StoreFaults,
  SWEEP_MS,
} from './plan.ts';
import type { WorldPlatform } from './platform.ts';
import { type Machine, SimProcess } from './process.ts';
import { WorldSignals } from './signals.ts';
import { endOfTurn, type VirtualTime } from './time.ts';

export interface FleetOptions {
  readonly plan: Plan;
  readonly time: VirtualTime;
  readonly checker: Checker;
  readonly failpoints: Failpoints;
  readonly database: Stores;
  readonly platform: WorldPlatform;
  readonly count: (fault: string) => void;
  readonly onLine: (line: string) => void;
  readonly steady: boolean;
}

type FleetAct = Exclude<Act, { readonly kind: 'platform' | 'ack_outage' | 'operate' }>;

const CALM: StoreFaults = { failBefore: 0, loseBefore: 0, runThenFail: 0, executeLate: 0, stall: 0, busy: 0 };
/** A graceful end that takes longer is ended by force. */
const STOP_GRACE_MS = 8_000;
/** A frozen process that came back beside its replacement is ended some time later. */
const ZOMBIE_LIFE_MS = 3_000;
/** No statement, and no pause while one is under way, lasts longer here. */
const LARGEST_CLOCK_ERROR_MS = 10_000;
const FOR_EVER_MS = Number.MAX_SAFE_INTEGER / 2;
const METRICS = createMetrics({ version: 'simulation' });
// Both are pure, and every world asks for the same few.
const HASH = memoized(recipientHasher('simulation'), (text) => text);
const SIGNED = createReferences('simulation');
const REFERENCES: References = {
  encode: memoized(SIGNED.encode, ({ shard, id }, sequence) => `${shard}/${id}/${sequence}`),
  encodeToSend: memoized(SIGNED.encodeToSend, ({ shard, id }, sequence) => `${shard}/${id}/${sequence}`),
  decode: memoized(SIGNED.decode, (reference) => reference),
};

export class Fleet {
  readonly #options: FleetOptions;
  readonly #settings: Omit<EngineSettings, 'name'>;
  readonly #channels: readonly ChannelSettings[];
  readonly #signals: WorldSignals | null;
  /** The process that stands in each slot now. */
  readonly #slots: (SimProcess | null)[];
  /** Every process that lives, those without a slot included. */
  readonly #alive = new Set<SimProcess>();
  readonly #cuts = new Map<number, 'to' | 'from'>();
  readonly #deadForEver = new Set<number>();
  #storeFaults: StoreFaults;
  #storeDown = false;
  #lives = 0;
  clocksAheadMs = 0;
  #calm = false;

  constructor(options: FleetOptions) {
    this.#options = options;
    const { plan, time, count, steady } = options;
    const { seed, signals = null } = plan;
    this.#signals = signals === null ? null : new WorldSignals({ seed, plan: signals, time, count, steady });
    this.#slots = Array.from({ length: plan.processes }, () => null);
    this.#storeFaults = plan.store;
    this.#settings = {
      shards: SHARDS,
      ...plan.engine,
      roles: ['intake', 'api', 'webhook', 'worker'],
      weight: 1,
      maxWaiting: 1_000,
      maxWaitingBytes: 134_217_728,
      leaseMs: LEASE_MS,
      renewEveryMs: RENEW_MS,
      pollEveryMs: POLL_MS,
      sweepEveryMs: SWEEP_MS,
      sweepWithoutSignalsMs: LOOK_MS,
    };
    this.#channels = [
      channelOf(plan, 'main', plan.channel.ackTimeoutMs),
      channelOf(plan, 'mute', plan.channel.muteAckTimeoutMs),
    ];
  }

  boot(): void {
    for (let slot = 0; slot < this.#slots.length; slot++) this.#boot(slot);
  }

  at(slot: number): SimProcess | null {
    return this.#slots[slot] ?? null;
  }

  /** Some process that has a connection to give, whether it runs or not: a caller cannot see that. */
  pick(chance: WorldChance): SimProcess | null {
    const open = [...this.#alive].filter(({ stopping }) => !stopping);
    return open.length === 0 ? null : chance.pick(open);
  }

  /** Engine time is the database's, but for half the time that a statement may have taken; wall clocks have no say. */
  lookAtClocks(): void {
    const { time, checker } = this.#options;
    for (const { clock, engine, name } of this.#alive) {
      if (engine?.ownership.clockIsSet !== true) continue;
      const aheadMs = clock.now() - time.now;
      this.clocksAheadMs = Math.max(this.clocksAheadMs, aheadMs);
      if (Math.abs(aheadMs) > LARGEST_CLOCK_ERROR_MS) {
        checker.broken('R1', name, `its engine time is ${Math.round(aheadMs)} ms ahead of the database's`);
      }
    }
  }

  /** Links and processes get well, but for what lasts. */
  calm(): void {
    const { lasting, seed, processes } = this.#options.plan;
    this.#calm = true;
    this.#storeFaults = CALM;
    this.#storeDown = false;
    this.#cuts.clear();
    if (lasting === 'nothing') return;
    const slot = chanceFor(seed, 'lasting').between(0, processes - 1);
    this.#options.count(`lasting_${lasting}`);
    if (lasting === 'dead_process') {
      this.#deadForEver.add(slot);
      this.at(slot)?.crash(0);
      return;
    }
    const frozen = this.at(slot);
    if (frozen === null) return;
    frozen.pause(FOR_EVER_MS);
    // By now it has failed every health check: callers are not sent to it any more.
    this.#alive.delete(frozen);
  }

  act(act: FleetAct): void {
    const { count, time } = this.#options;
    if (act.kind === 'store_outage') {
      count('store_outage');
      this.#storeDown = true;
      time.after(act.forMs, () => {
        this.#storeDown = false;
      });
      return;
    }
    if (act.kind === 'cut') {
      count(`cut_${act.way}`);
      this.#cuts.set(act.slot, act.way);
      time.after(act.forMs, () => this.#cuts.delete(act.slot));
      return;
    }
    const process = this.at(act.slot);
    if (process === null) return;
    switch (act.kind) {
      case 'crash':
        process.crash(act.downMs);
        return;
      case 'pause':
        count(act.forMs > LEASE_MS ? 'pause_beyond_lease' : 'pause');
        process.pause(act.forMs);
        return;
      case 'stop':
        this.#stop(process, act.downMs);
        return;
      case 'replace':
        this.#replace(process, act.forMs);
        return;
      case 'wall_step':
        count('wall_step');
        process.stepWall(act.byMs);
        return;
      default:
        act satisfies never;
    }
  }

  #stop(process: SimProcess, downMs: number): void {
    if (process.stopping || process.engine === null) return;
    const { time, count, onLine } = this.#options;
    const { engine } = process;
    count('stop');
    process.stopping = true;
    process.enter(() => {
      engine.service.stop().then(
        () => process.enter(() => this.#ended(process, downMs, `${process.name} has stopped`)),
        (error: unknown) => this.#options.checker.broken('R1', process.name, `it did not stop: ${String(error)}`),
      );
    });
    time.after(STOP_GRACE_MS, () => {
      if (process.dead) return;
      onLine(`${process.name} is ended by force`);
      count('stop_forced');
      process.crash(downMs);
    });
  }

  #ended(process: SimProcess, downMs: number, line: string): void {
    process.dead = true;
    this.#gone(process, downMs, line);
  }

  /** An orchestrator takes a frozen process for dead and starts another; the frozen one goes on with its old work. */
  #replace(process: SimProcess, forMs: number): void {
    const { time, count, onLine } = this.#options;
    count('replace');
    onLine(`${process.name} freezes and is replaced`);
    process.pause(forMs);
    time.after(200, () => {
      if (this.at(process.slot) === process) this.#boot(process.slot);
    });
    time.after(forMs + ZOMBIE_LIFE_MS, () => process.crash(0));
  }

  #boot(slot: number): void {
    const { plan, time, checker, failpoints, database, platform, onLine, steady } = this.#options;
    if (this.#deadForEver.has(slot)) return;
    const life = ++this.#lives;
    const name = `process-${life}`;
    const chance = chanceFor(plan.seed, 'life', slot, life);
    const process = new SimProcess(name, slot, time, this.#machine(chance), (dead, downMs) => {
      this.#options.count('crash');
      this.#gone(dead, downMs, `${dead.name} crashes`);
    });
    const stores = linkDatabase(database, {
      process,
      time,
      chance: chanceFor(plan.seed, 'link', slot, life),
      failpoints,
      state: () => this.#linkOf(process),
      count: this.#options.count,
      leases: checker.leases,
      steady,
    });
    const clients = new Map<string, PlatformChannel>(
      this.#channels.map(({ key }) => [key.channel, platform.channelFor(process, key.channel)]),
    );
    const engine = createEngine(
      { ...this.#settings, name: `node-${slot}` },
      {
        stores,
        clock: process.clock,
        chance: chance.uniform,
        endOfTurn,
        references: REFERENCES,
        channels: this.#channels,
        platform: ({ channel }) => clients.get(channel) ?? null,
        sharedRates: null,
        signals: this.#signals?.port(process, life) ?? null,
        instruments: {
          log: {
            event: (event: string) => {
              if (event === 'liveness.violated') checker.count('liveness_alarm');
              onLine(`  ${name} ${event}`);
            },
            flush: () => undefined,
            writes: () => true,
          },
          // A process that is killed never says that it no longer wants to be asked.
          metrics: { ...METRICS, beforeRender: new Set<() => void>() },
          telemetry: new Telemetry(),
          hash: HASH,
        },
        newWorkerId: () => `${name}-${chance.between(0, 1e9)}`,
        isPermanent: () => false,
        onFailure: (error) => checker.broken('R1', name, `the engine cannot go on: ${String(error)}`),
      },
    );
    process.engine = engine;
    this.#slots[slot] = process;
    this.#alive.add(process);
    onLine(`${name} boots in slot ${slot}`);
    engine.service.start().catch((error: unknown) => {
      onLine(`${name} does not start: ${String(error)}`);
      process.crash(500);
    });
  }

  #machine(chance: WorldChance): Machine {
    if (!this.#options.plan.skewedClocks) return { monotonicStart: 0, wallOffset: 0, speed: 1 };
    return {
      monotonicStart: chance.pick([0, 12_345.678, 4_000_000_000]),
      wallOffset: chance.pick([0, -3_600_000, 250, 3_600_000]),
      speed: chance.pick([1, 0.99, 1.01]),
    };
  }

  #gone(process: SimProcess, downMs: number, line: string): void {
    this.#options.onLine(line);
    this.#alive.delete(process);
    if (this.at(process.slot) !== process) return;
    this.#slots[process.slot] = null;
    this.#options.time.after(downMs, () => {
      if (this.at(process.slot) === null) this.#boot(process.slot);
    });
  }

  #linkOf(process: SimProcess): LinkState {
    const cut = this.#calm ? 'none' : (this.#cuts.get(process.slot) ?? 'none');
    return { faults: this.#storeFaults, down: this.#storeDown, cut };
  }
}

const NO_LIMIT = { perSecond: 0, burst: 1 };

/** A world is short: a few acks must do. */
const ADAPTIVE = { floorMs: 50, quantile: 0.8, factor: 1, halfLifeMs: 5_000, minAcks: 3 };

function channelOf(plan: Plan, channel: string, ackTimeoutMs: number): ChannelSettings {
  const { unlockedBy, minGapMs, maxAttempts, unknownPolicy, failurePolicy, maxConcurrentSends, echoesReference } =
    plan.channel;
  return {
    key: { tenant: 'default', channel },
    account: 'account',
    platform: 'simulation',
    policy: {
      // The platform's answer alone unlocks nothing where acks are to be waited for.
      unlockedBy: channel === 'mute' ? 'delivered' : unlockedBy,
      ackTimeoutMs,
      minGapMs,
      roomLimit: plan.channel.roomLimit ?? { everyMs: 0, burst: 1 },
      maxAttempts,
      backoff: { initialMs: 50, maxMs: 1_000, factor: 2, jitter: 0.5 },
      unknownGraceMs: 300,
      unknownPolicy,
      failurePolicy,
    },
    sendTimeoutMs: SEND_TIMEOUT_MS,
    maxConcurrentSends,
    channelLimit: NO_LIMIT,
    accountLimit: NO_LIMIT,
    echoesReference: echoesReference ? 'always' : 'never',
    ...(plan.channel.adaptive === true ? { adaptiveAckTimeout: ADAPTIVE } : {}),
    ackOutage: { afterMs: 5_000, minTimeouts: 8, gapMs: 100 },
    probe: { initialMs: 100, maxMs: 1_000 },
    ...(plan.channel.orderGap === undefined ? {} : { orderGap: plan.channel.orderGap }),
  };
}

function memoized<Args extends unknown[], Result>(
  compute: (...args: Args) => Result,
  keyOf: (...args: Args) => string,
): (...args: Args) => Result {
  const known = new Map<string, Result>();
  return (...args) => {
    const key = keyOf(...args);
    const before = known.get(key);
    if (before !== undefined) return before;
    const result = compute(...args);
    known.set(key, result);
    return result;
  };
}
