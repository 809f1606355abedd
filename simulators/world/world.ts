/**
 * A plan is a whole world: the real engine, unchanged, in one to three processes on one database in memory, virtual time
 * and seeded chance. Nothing happens that does not stand in the plan or follow from its draws.
 */
import { createMemoryStores } from '../../src/adapters/memory/stores.ts';
import type { Stores } from '../../src/engine/ports.ts';
import { shardOf } from '../../src/room/shard.ts';
import { chanceFor, type WorldChance } from './chance.ts';
import { Checker } from './checker.ts';
import { drawPlan } from './draw-plan.ts';
import { Failpoints } from './failpoints.ts';
import { Feed } from './feed.ts';
import { Fleet } from './fleet.ts';
import { type Act, drainBoundMs, type Order, type Plan, SHARDS, SWEEP_MS } from './plan.ts';
import { WorldPlatform } from './platform.ts';
import type { SimProcess } from './process.ts';
import { VirtualTime } from './time.ts';
import { watchStores } from './watch.ts';
import { Webhooks } from './webhooks.ts';

export interface WorldReport {
  readonly seed: number;
  readonly mode: Plan['mode'];
  readonly violations: readonly string[];
  readonly events: number;
  readonly messages: number;
  /** How often each fault of the plan came to pass. */
  readonly faults: ReadonlyMap<string, number>;
  /** Failpoints that fired, by name. */
  readonly failpoints: ReadonlyMap<string, number>;
  /** Phase × event, as far as the changes of rows show it. */
  readonly cells: ReadonlyMap<string, number>;
  /** What the checker saw and counts: copies, outcomes, refused writes. */
  readonly counts: ReadonlyMap<string, number>;
  /** A hash of every line of the trace, in order: the same seed gives the same one. */
  readonly trace: string;
  /** When each message settled, in virtual ms since the world began, by room and sequence. */
  readonly settledAt: ReadonlyMap<string, number>;
}

export interface WorldOptions {
  /** Told each line of the trace. */
  readonly onLine?: (line: string) => void;
  /** All latencies are always the same, so that two worlds can be compared. */
  readonly steady?: boolean;
}

const START_MS = 1_700_000_000_000;
/** After everything has settled: late acks and answers still find their messages. */
const AFTERMATH_MS = 1_500;
/** How long a claimable room may stand still once everything is well (R6). */
const STANDSTILL_MS = 6_000;

export function runWorld(seed: number, onLine?: (line: string) => void): Promise<WorldReport> {
  return runPlan(drawPlan(seed), onLine === undefined ? {} : { onLine });
}

/** Runs the world of a plan to its end. */
export async function runPlan(plan: Plan, options: WorldOptions = {}): Promise<WorldReport> {
  const world = new World(plan, options);
  const onRejection = (reason: unknown): void => world.broken(`a rejection was not handled: ${String(reason)}`);
  process.on('unhandledRejection', onRejection);
  try {
    return await world.run();
  } finally {
    process.off('unhandledRejection', onRejection);
  }
}

class World {
  readonly #plan: Plan;
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #time: VirtualTime;
  readonly #checker: Checker;
  readonly #failpoints: Failpoints;
  readonly #database: Stores;
  readonly #fleet: Fleet;
  readonly #platform: WorldPlatform;
  readonly #webhooks: Webhooks;
  readonly #feed: Feed;
  readonly #faults = new Map<string, number>();
  readonly #fired = new Map<string, number>();
  readonly #settledAt = new Map<string, number>();
  #trace = 0x811c9dc5;
  #reported = 0;
  #calmSince: number | null = null;
  /** Since when each claimable room stands still, by room and version. */
  #standing = new Map<string, number>();

  constructor(plan: Plan, options: WorldOptions) {
    this.#plan = plan;
    this.#onLine = options.onLine;
    const { seed } = plan;
    const steady = options.steady ?? false;
    const count = (kind: string): void => this.#count(kind);
    const line = (text: string): void => this.#line(text);
    this.#time = new VirtualTime(START_MS, chanceFor(seed, 'ties').uniform);
    const time = this.#time;
    this.#checker = new Checker({
      now: () => time.now,
      maxAttempts: plan.channel.maxAttempts,
      roomLimit: plan.channel.roomLimit ?? null,
      orderGap: plan.channel.orderGap ?? null,
      cumulative: plan.channel.delivery !== 'single',
      clocksAheadMs: () => this.#fleet.clocksAheadMs,
      onSettled: (room, sequence) => this.#settledAt.set(`${room}/${sequence}`, time.now - START_MS),
    });
    const checker = this.#checker;
    this.#failpoints = new Failpoints(seed, plan.failpoints, (name, { effect, forMs }) => {
      this.#fired.set(name, (this.#fired.get(name) ?? 0) + 1);
      this.#line(`failpoint ${name}: ${effect} ${forMs} ms`);
    });
    const failpoints = this.#failpoints;
    const memory = createMemoryStores({ shards: SHARDS, now: () => Math.floor(time.now) });
    this.#database = watchStores(memory, checker, line);
    this.#platform = new WorldPlatform({
      seed,
      time,
      checker,
      failpoints,
      channel: plan.channel,
      faults: plan.platform,
      count,
      onLine: line,
      tell: (channel, told, afterMs) => this.#webhooks.tell(channel, told, afterMs),
      steady,
    });
    this.#fleet = new Fleet({
      plan,
      time,
      checker,
      failpoints,
      database: this.#database,
      platform: this.#platform,
      count,
      onLine: line,
      steady,
    });
    const pick = (chance: WorldChance): SimProcess | null => this.#fleet.pick(chance);
    const { badBatch } = plan.platform;
    this.#webhooks = new Webhooks({ seed, time, checker, failpoints, database: memory, badBatch, pick, count });
    this.#feed = new Feed({ seed, startMs: START_MS, time, checker, failpoints, faults: plan.feed, pick, count });
  }

  async run(): Promise<WorldReport> {
    const { rooms, acts, faultsEndMs, mode } = this.#plan;
    this.#fleet.boot();
    for (const act of acts) this.#time.after(act.at, () => this.#act(act));
    for (const room of rooms) this.#feed.publish(room);
    await this.#until(START_MS + faultsEndMs, () => false);
    if (mode === 'liveness') await this.#drain();
    return this.#report();
  }

  broken(what: string): void {
    this.#checker.broken('R1', 'process', what);
  }

  /** Faults end, but for what lasts; everything settles within the bound. */
  async #drain(): Promise<void> {
    this.#failpoints.disarm();
    this.#fleet.calm();
    this.#platform.calm();
    this.#feed.calm();
    this.#calmSince = this.#time.now;
    this.#line('all faults end');
    this.#attend();
    const boundMs = drainBoundMs(this.#plan);
    await this.#until(this.#time.now + boundMs, () => this.#checker.drained);
    if (this.#checker.drained) await this.#until(this.#time.now + AFTERMATH_MS, () => false);
    else if (this.#reported === 0) this.#checker.demandDrained(boundMs);
  }

  #until(end: number, enough: () => boolean): Promise<void> {
    return this.#time.runUntil(end, () => {
      this.#fleet.lookAtClocks();
      this.#reportViolations();
      // One broken promise says what there is to say; what follows from it only hides it.
      return this.#reported > 0 || enough();
    });
  }

  #reportViolations(): void {
    const { violations } = this.#checker;
    for (; this.#reported < violations.length; this.#reported++) {
      this.#line(`VIOLATION ${violations[this.#reported] ?? ''}`);
    }
  }

  #report(): WorldReport {
    const checker = this.#checker;
    this.#reportViolations();
    return {
      seed: this.#plan.seed,
      mode: this.#plan.mode,
      violations: checker.violations,
      events: this.#time.events,
      messages: checker.settledCount,
      faults: this.#faults,
      failpoints: this.#fired,
      cells: checker.cells,
      counts: new Map([
        ...checker.counts,
        ['take_overs', checker.leases.takeOvers],
        ['hand_overs', checker.leases.handOvers],
      ]),
      trace: (this.#trace >>> 0).toString(16).padStart(8, '0'),
      settledAt: this.#settledAt,
    };
  }

  // -------------------------------------------------------------------------------------------------------------- acts

  #act(act: Act): void {
    this.#line(`act ${JSON.stringify(act)}`);
    switch (act.kind) {
      case 'platform':
        this.#count(`platform_${act.outage}`);
        this.#platform.outage = act.outage;
        this.#time.after(act.forMs, () => {
          this.#platform.outage = 'none';
        });
        return;
      case 'ack_outage':
        this.#count('ack_outage');
        this.#platform.acksStopped = true;
        this.#time.after(act.forMs, () => {
          this.#platform.acksStopped = false;
        });
        return;
      case 'operate': {
        const process = this.#fleet.at(act.slot);
        const room = this.#plan.rooms.find(({ name }) => name === act.room);
        if (process === null || room === undefined) return;
        this.#count(`operator_${act.order}`);
        void this.#order(process, room, act.order, act.sequence);
        return;
      }
      default:
        this.#fleet.act(act);
    }
  }

  /** An operator orders something, sensible or not, through any process. Told that it failed, nobody repeats it. */
  async #order(
    process: SimProcess,
    room: { readonly name: string; readonly channel: string },
    order: Order,
    sequence: number,
  ): Promise<void> {
    const key = { tenant: 'default', channel: room.channel, room: room.name };
    const stored = await this.#database.rooms.findRoom(key, shardOf(key, SHARDS));
    if (stored === null) return;
    this.#checker.ordered(`${room.channel}/${room.name}`, order, sequence);
    const event = order === 'pause' || order === 'resume' ? { type: order } : { type: order, sequence };
    process.enter(() => {
      process.engine?.rooms.post(stored.row, event).catch(() => this.#count('operator_told_to_repeat'));
    });
  }

  /** Once the faults are over somebody looks after what is paused or held, and the checker after what stands still. */
  #attend(): void {
    for (const room of this.#plan.rooms) {
      const row = this.#checker.row(`${room.channel}/${room.name}`);
      const process = this.#fleet.pick(chanceFor(this.#plan.seed, 'operator', this.#time.now));
      if (process === null) continue;
      if (row.paused) void this.#order(process, room, 'resume', 0);
      else if (row.phase !== 'held') continue;
      // What the platform refuses again and again is given up.
      else void this.#order(process, room, row.attempt < 4 ? 'retry' : 'skip', row.settled + 1);
    }
    this.#watchGaps();
    this.#watchStandstill();
    this.#time.after(SWEEP_MS, () => this.#attend());
  }

  /** R6: a gap lasts its time and two sweeps at most; where it is held somebody looks after it. */
  #watchGaps(): void {
    const { orderGap } = this.#plan.channel;
    for (const { room, waitsFor, since } of this.#checker.gaps()) {
      if (orderGap?.policy === 'hold') {
        void this.#skipGap(room, waitsFor);
        continue;
      }
      const { now } = this.#time;
      const mostMs = Math.max(STANDSTILL_MS, (orderGap?.timeoutMs ?? 0) + 2 * SWEEP_MS);
      const lastedMs = now - Math.max(since, this.#calmSince ?? now);
      if (lastedMs > mostMs) this.#checker.broken('R6', room, `it waits for order ${waitsFor} since ${now - since} ms`);
    }
  }

  async #skipGap(name: string, waitsFor: number): Promise<void> {
    const room = this.#plan.rooms.find((one) => `${one.channel}/${one.name}` === name);
    const process = this.#fleet.pick(chanceFor(this.#plan.seed, 'gaps', this.#time.now));
    if (room === undefined || process === null) return;
    const key = { tenant: 'default', channel: room.channel, room: room.name };
    const stored = await this.#database.rooms.findRoom(key, shardOf(key, SHARDS));
    if (stored === null) return;
    process.enter(() => {
      process.engine?.gaps.skip(stored.row, waitsFor, 'operator').catch(() => this.#count('operator_told_to_repeat'));
    });
  }

  /** R6: no claimable room goes two sweeps without being claimed. */
  #watchStandstill(): void {
    const { now } = this.#time;
    const standing = new Map<string, number>();
    for (const { room, version, phase } of this.#checker.claimable()) {
      const key = `${room} ${version}`;
      const since = this.#standing.get(key) ?? now;
      standing.set(key, since);
      if (now - since >= 2 * SWEEP_MS) this.#checker.count('stood_still');
      const wellFor = now - (this.#calmSince ?? now);
      if (now - since > STANDSTILL_MS && wellFor > STANDSTILL_MS) {
        this.#checker.broken('R6', room, `it is ${phase} and nobody has claimed it for ${now - since} ms`);
      }
    }
    this.#standing = standing;
  }

  // ----------------------------------------------------------------------------------------------------------- telling

  #line(text: string): void {
    const line = `${(this.#time.now - START_MS).toFixed(1).padStart(8)} ${text}`;
    for (let i = 0; i < line.length; i++) this.#trace = Math.imul(this.#trace ^ line.charCodeAt(i), 0x01000193);
    this.#onLine?.(line);
  }

  #count(fault: string): void {
    this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + 1);
  }
}
