/**
 * A seed is a whole world: the real engine, unchanged, on memory stores, virtual time and one source of chance.
 * A process is a filter on events: killed, its timers and answers stay silent; paused, they come later.
 */

import { type Fault, faultyStores } from '../../src/adapters/memory/faulty.ts';
import { createMemoryStores } from '../../src/adapters/memory/stores.ts';
import { createEngine, type Engine, type EngineSettings } from '../../src/engine/engine.ts';
import { bodyDigest } from '../../src/engine/intake.ts';
import type { ChannelSettings } from '../../src/engine/policy.ts';
import type { NewMessage, RoomWrite, StatusItem, Stores, WriteResult } from '../../src/engine/ports.ts';
import { createReferences } from '../../src/engine/reference.ts';
import type { RoomEvent } from '../../src/room/events.ts';
import { shardOf } from '../../src/room/shard.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { WorldChance } from './chance.ts';
import { Checker } from './checker.ts';
import { NO_FAULTS, type Outage, type PlatformFaults, WorldPlatform } from './platform.ts';
import { ProcessClock, VirtualTime } from './time.ts';

export interface WorldReport {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly events: number;
  readonly messages: number;
  readonly duplicates: number;
  readonly unknownOutcomes: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly cells: ReadonlyMap<string, number>;
  /** A hash of everything that was stored, in order: the same seed gives the same one. */
  readonly trace: string;
}

const START = 1_700_000_000_000;
const CHANNEL = { tenant: 'default', channel: 'sim' } as const;
const FAULTS_END_MS = 20_000;
const QUIET_MS = 240_000;

interface Process {
  readonly engine: Engine;
  readonly clock: ProcessClock;
}

export async function runWorld(seed: number, onLine: (line: string) => void = () => undefined): Promise<WorldReport> {
  return new World(seed, onLine).run();
}

class World {
  readonly #seed: number;
  readonly #onLine: (line: string) => void;
  readonly #chance: WorldChance;
  readonly #time: VirtualTime;
  readonly #checker = new Checker();
  readonly #faults = new Map<string, number>();
  readonly #stores: Stores;
  readonly #platform: WorldPlatform;
  readonly #channel: ChannelSettings;
  readonly #settings: EngineSettings;
  readonly #rooms: number;
  readonly #perRoom: number;
  #process: Process | null = null;
  #faulty = true;
  #storeDown = false;
  #trace = 0x811c9dc5;
  #lives = 0;
  readonly #expiring = new Set<string>();

  constructor(seed: number, onLine: (line: string) => void) {
    this.#seed = seed;
    this.#onLine = onLine;
    const chance = new WorldChance(seed);
    this.#chance = chance;
    this.#time = new VirtualTime(START, chance.uniform);
    this.#rooms = chance.between(1, 4);
    this.#perRoom = chance.between(2, 12);
    this.#settings = {
      shards: 8,
      lanes: chance.between(1, 2),
      maxBatchRows: chance.pick([1, 3, 100]),
      maxWaiting: 1_000,
      lingerMs: chance.pick([0, 2]),
      bodyCacheBytes: chance.pick([0, 10_000]),
      leaseMs: 2_000,
      renewEveryMs: 400,
      sweepEveryMs: 1_000,
    };
    const echoesReference = chance.hit(0.6);
    const delivery = echoesReference
      ? chance.pick(['single', 'single', 'cumulative'] as const)
      : chance.pick(['single', 'single', 'watermark'] as const);
    this.#channel = {
      key: CHANNEL,
      account: 'sim',
      platform: 'sim',
      policy: {
        unlockedBy: chance.pick(['accepted', 'sent', 'delivered', 'delivered', 'delivered', 'read'] as const),
        ackTimeoutMs: chance.pick([300, 2_000]),
        minGapMs: chance.pick([0, 0, 50]),
        maxAttempts: 50,
        backoff: { initialMs: 50, maxMs: 1_000, factor: 2, jitter: 0.5 },
        unknownGraceMs: 300,
        unknownPolicy: chance.pick(['resend', 'resend', 'resend', 'assume', 'hold'] as const),
        failurePolicy: chance.pick(['move_on', 'move_on', 'hold'] as const),
      },
      sendTimeoutMs: 1_000,
      maxConcurrentSends: chance.pick([1, 2, 64]),
      echoesReference: echoesReference ? 'always' : 'never',
      ackOutage: { afterMs: 5_000, minTimeouts: 8, gapMs: 100 },
      probe: { initialMs: 100, maxMs: 1_000 },
    };
    const memory = createMemoryStores({ shards: this.#settings.shards, now: () => this.#time.now });
    this.#stores = this.#watched(memory);
    this.#platform = new WorldPlatform({
      time: this.#time,
      chance,
      checker: this.#checker,
      echoesReference,
      delivery,
      lookup: chance.hit(0.4),
      fault: (kind) => this.#count(kind),
      webhook: (items) => this.#webhook(items),
    });
    this.#platform.faults = this.#drawFaults();
  }

  async run(): Promise<WorldReport> {
    this.#boot();
    this.#scheduleNemesis();
    for (let room = 0; room < this.#rooms; room++) void this.#publish(`room-${room}`);
    const stopEarly = (): void => {
      const first = this.#checker.violations[0];
      if (first !== undefined && this.#checker.violations.length === 1) this.#line(`VIOLATION ${first}`);
    };
    await this.#time.runUntil(START + FAULTS_END_MS, stopEarly);
    this.#calm();
    this.#attendHolds();
    await this.#time.runUntil(START + FAULTS_END_MS + QUIET_MS, stopEarly);
    // What a process alone knew of an attempt that it did not live to end, the row shows as interrupted.
    this.#checker.finish(
      (id) => this.#platform.refusedForGood.has(id),
      (id) => this.#expiring.has(id),
    );
    return {
      seed: this.#seed,
      violations: this.#checker.violations,
      events: this.#time.events,
      messages: this.#checker.settledCount,
      duplicates: this.#checker.duplicates,
      unknownOutcomes: this.#checker.unknownOutcomes,
      faults: this.#faults,
      cells: this.#checker.cells,
      trace: (this.#trace >>> 0).toString(16).padStart(8, '0'),
    };
  }

  // ------------------------------------------------------------------------------------------------------- processes

  #boot(): void {
    const clock = new ProcessClock(this.#time);
    const life = ++this.#lives;
    const stores = faultyStores(this.#mortal(this.#stores, clock), {
      interpose: () => this.#storeFault(),
      clock: { after: (delayMs, callback) => this.#time.after(delayMs, callback) },
    });
    const instruments = {
      log: { event: (name: string) => this.#line(`  log ${name}`), flush: () => undefined },
      metrics: METRICS,
      telemetry: new Telemetry(),
      hash: recipientHasher('sim'),
    };
    const platform = this.#platform.channelFor(clock);
    const engine = createEngine(this.#settings, {
      stores,
      clock,
      chance: this.#chance.uniform,
      references: createReferences('simulation'),
      channels: [this.#channel],
      platform: () => platform,
      instruments,
      newWorkerId: () => `worker-${life}-${this.#chance.between(0, 1e9)}`,
      isPermanent: () => false,
      onFailure: (error) => this.#checker.violations.push(`engine failed: ${String(error)}`),
    });
    this.#process = { engine, clock };
    this.#line(`boot ${life}`);
    engine.service.start().catch((error: unknown) => {
      if (!clock.dead) this.#restartLater(error);
    });
  }

  #restartLater(error: unknown): void {
    this.#line(`start failed: ${String(error)}`);
    this.#kill();
  }

  #kill(): void {
    const process = this.#process;
    if (process === null) return;
    this.#count('crash');
    this.#line('crash');
    process.clock.dead = true;
    this.#checker.memoryLost();
    this.#process = null;
    this.#time.after(this.#chance.between(10, 1_500), () => this.#boot());
  }

  /** Answers for a process that has died meanwhile never come; what it sent to the store is executed all the same. */
  #mortal(stores: Stores, clock: ProcessClock): Stores {
    const wrap = <T extends object>(store: T): T =>
      new Proxy(store, {
        get: (target, method) => {
          const member: unknown = Reflect.get(target, method);
          if (typeof member !== 'function') return member;
          return async (...args: unknown[]) => {
            const result: unknown = await (member as (...args: unknown[]) => Promise<unknown>).apply(target, args);
            if (clock.dead) await new Promise(() => undefined);
            return result;
          };
        },
      });
    return {
      rooms: wrap(stores.rooms),
      history: wrap(stores.history),
      inbox: wrap(stores.inbox),
      ownership: wrap(stores.ownership),
      channels: wrap(stores.channels),
      deadLetters: wrap(stores.deadLetters),
    };
  }

  // ------------------------------------------------------------------------------------------------------------ faults

  #scheduleNemesis(): void {
    const chance = this.#chance;
    const at = (run: () => void): void => {
      this.#time.after(chance.between(100, FAULTS_END_MS - 2_000), run);
    };
    for (let n = chance.between(0, 3); n > 0; n--) at(() => this.#kill());
    for (let n = chance.between(0, 2); n > 0; n--) at(() => this.#pause());
    for (let n = chance.between(0, 2); n > 0; n--) at(() => this.#loseStore());
    for (let n = chance.between(0, 2); n > 0; n--) at(() => this.#outage());
    for (let n = chance.between(0, 6); n > 0; n--) at(() => void this.#operate());
  }

  #pause(): void {
    if (this.#process === null) return;
    const forMs = this.#chance.pick([300, 1_500, 4_000]);
    this.#count(`pause_${forMs}`);
    // Its lease ends meanwhile: what it has open counts as interrupted when it goes on.
    if (forMs > this.#settings.leaseMs) this.#checker.memoryLost();
    this.#process.clock.pausedUntil = this.#time.now + forMs;
  }

  #loseStore(): void {
    this.#count('store_outage');
    this.#storeDown = true;
    this.#time.after(this.#chance.pick([200, 1_000, 5_000]), () => {
      this.#storeDown = false;
    });
  }

  #outage(): void {
    const kind = this.#chance.pick<Outage>(['down', 'black_hole', 'unauthorized', 'throttled']);
    this.#count(`platform_${kind}`);
    this.#platform.outage = kind;
    this.#time.after(this.#chance.between(200, 6_000), () => {
      this.#platform.outage = 'none';
    });
  }

  /** An operator does something to some room, sensible or not. */
  async #operate(): Promise<void> {
    const chance = this.#chance;
    const room = `room-${chance.between(0, this.#rooms - 1)}`;
    const type = chance.pick(['pause', 'resume', 'skip', 'cancel', 'cancel', 'retry'] as const);
    const sequence = chance.between(1, this.#perRoom);
    if (type === 'skip') this.#checker.ordered.add(`skipped ${room}/${sequence}`);
    if (type === 'cancel') this.#checker.ordered.add(`cancelled ${room}/${sequence}`);
    this.#count(`operator_${type}`);
    await this.#order(room, type === 'pause' || type === 'resume' ? { type } : { type, sequence });
  }

  async #order(room: string, event: RoomEvent): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    const key = { ...CHANNEL, room };
    const stored = await this.#stores.rooms.findRoom(key, shardOf(key, this.#settings.shards));
    if (stored === null) return;
    // An operator whose order meets a failing store is told so, and may repeat it.
    const verdict = await process.engine.rooms.post(stored.row, event).catch(() => null);
    // R4: a copy that an operator orders is entitled, too.
    if (event.type === 'retry' && verdict?.kind !== 'ignored') this.#checker.unknownOutcomes++;
  }

  /** After the faults somebody looks after what is paused or held. */
  #attendHolds(): void {
    for (let room = 0; room < this.#rooms; room++) void this.#attend(`room-${room}`);
    this.#time.after(3_000, () => this.#attendHolds());
  }

  async #attend(room: string): Promise<void> {
    const key = { ...CHANNEL, room };
    const stored = await this.#stores.rooms.findRoom(key, shardOf(key, this.#settings.shards));
    if (stored?.row.paused === true) await this.#order(room, { type: 'resume' });
    if (stored?.row.phase === 'held') await this.#order(room, { type: 'retry', sequence: stored.row.settled + 1 });
  }

  #calm(): void {
    this.#faulty = false;
    this.#storeDown = false;
    this.#platform.outage = 'none';
    this.#platform.faults = NO_FAULTS;
    this.#line('all faults end');
  }

  #drawFaults(): PlatformFaults {
    const some = (max: number): number => (this.#chance.hit(0.5) ? this.#chance.uniform() * max : 0);
    return {
      dropRequest: some(0.1),
      dropAnswer: some(0.15),
      holdRequest: some(0.1),
      serverErrorBefore: some(0.1),
      serverErrorAfter: some(0.15),
      messageRefusal: some(0.2),
      roomLimit: some(0.2),
      permanentRefusal: some(0.05),
      connectFailure: some(0.1),
      ackLost: some(0.5),
      ackEarly: some(0.5),
      ackLate: some(0.4),
      ackDoubled: some(0.5),
      failedStatus: some(0.1),
      contradiction: some(0.3),
    };
  }

  #storeFault(): Fault {
    const chance = this.#chance;
    const beforeMs = chance.around(2);
    const afterMs = chance.around(1);
    if (this.#storeDown) {
      return { action: chance.pick(['fail_before', 'lose_before'] as const), beforeMs, afterMs };
    }
    if (!this.#faulty || !chance.hit(0.04)) return { action: 'run', beforeMs, afterMs };
    const action = chance.pick(['fail_before', 'lose_before', 'run_then_fail', 'run_then_fail'] as const);
    this.#count(`store_${action}`);
    // An answer that was lost may belong to a statement that is executed long after its sender gave up.
    return { action, beforeMs: chance.hit(0.2) ? chance.around(500) : beforeMs, afterMs };
  }

  // -------------------------------------------------------------------------------------------------- feed and webhook

  /** A publisher and an ordered subscription: unacked messages come again, and then so do all behind them. */
  async #publish(room: string): Promise<void> {
    const messages: NewMessage[] = [];
    for (let n = 1; n <= this.#perRoom; n++) {
      const id = `${room}/${n}`;
      const body = new TextEncoder().encode(JSON.stringify({ to: room, content: { room, id } }));
      messages.push(this.#message(room, id, body));
      this.#checker.published(room, id);
    }
    let next = 0;
    while (next < messages.length) {
      await this.#time.sleep(this.#chance.around(2_500));
      const burst = messages.slice(next, next + this.#chance.between(1, 4));
      const process = this.#process;
      if (process === null || process.clock.now() < START / 2) continue;
      const accepted = await Promise.all(burst.map((message) => this.#deliver(process, message)));
      const firstLost = accepted.indexOf(false);
      next += firstLost === -1 ? burst.length : firstLost;
      if (this.#chance.hit(0.15) && next > 0) {
        this.#count('redelivery');
        next = Math.max(0, next - this.#chance.between(1, 3));
      }
    }
  }

  /** True where intake acknowledged; false where it did not within the deadline, though it may have been stored. */
  async #deliver(process: Process, message: NewMessage): Promise<boolean> {
    const accepted = process.engine.intake.accept(message).then(
      () => true,
      () => false,
    );
    return Promise.race([accepted, this.#time.sleep(5_000).then(() => false)]);
  }

  #message(room: string, messageId: string, body: Uint8Array): NewMessage {
    const key = { ...CHANNEL, room };
    return {
      key,
      shard: shardOf(key, this.#settings.shards),
      messageId,
      body,
      digest: bodyDigest(body),
      acceptedAt: START,
      notBefore: this.#chance.hit(0.1) ? START + this.#chance.between(0, FAULTS_END_MS) : null,
      expiresAt: this.#expiry(messageId),
      ackTimeoutMs: null,
      failurePolicy: null,
      source: 'pubsub',
    };
  }

  #expiry(messageId: string): number | null {
    if (!this.#chance.hit(0.1)) return null;
    this.#expiring.add(messageId);
    return START + this.#chance.between(500, FAULTS_END_MS);
  }

  async #webhook(items: readonly StatusItem[]): Promise<boolean> {
    const process = this.#process;
    if (process === null) return false;
    const answered = process.engine.acks.receive(CHANNEL, items).then(
      () => true,
      () => false,
    );
    return Promise.race([answered, this.#time.sleep(3_000).then(() => false)]);
  }

  // ----------------------------------------------------------------------------------------------------------- watching

  #watched(stores: Stores): Stores {
    const rooms = new Proxy(stores.rooms, {
      get: (target, method) => {
        const member: unknown = Reflect.get(target, method);
        if (typeof member !== 'function') return member;
        const bound = member.bind(target) as (...args: never[]) => unknown;
        if (method !== 'compareAndSet') return bound;
        return async (lane: number, writes: readonly RoomWrite[], proof: never) => {
          const results = await target.compareAndSet(lane, writes, proof);
          for (const [index, write] of writes.entries()) this.#saw(write, results[index] as WriteResult);
          return results;
        };
      },
    });
    return { ...stores, rooms };
  }

  #saw(write: RoomWrite, result: WriteResult): void {
    this.#checker.stored(write, result);
    const { next } = write;
    const settled = write.facts.map((fact) =>
      fact.kind === 'settled' ? `${fact.sequence}=${fact.outcome}` : fact.kind,
    );
    this.#line(
      `${next.key.room} ${result.kind} v${next.version} ${next.phase}${next.reason === null ? '' : `(${next.reason})`} settled ${next.settled}/${next.tail} attempt ${next.attempt} ${settled.join(' ')}`,
    );
  }

  #line(text: string): void {
    const line = `${(this.#time.now - START).toFixed(1).padStart(8)} ${text}`;
    for (let i = 0; i < line.length; i++) this.#trace = Math.imul(this.#trace ^ line.charCodeAt(i), 0x01000193);
    this.#onLine(line);
  }

  #count(fault: string): void {
    this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + 1);
  }
}

const METRICS = createMetrics({ version: 'simulation' });
