/**
 * Roomline as queues: rooms, permits, lanes and batches, with the CPU that each step costs. It decides as the engine
 * does (docs/architecture.md), in as few words as latency and load depend on; nothing fails here.
 */
import { MOST_EXPECTED } from '../../src/engine/batcher.ts';
import type { WorldChance } from '../world/chance.ts';
import type { UnitCosts } from './costs.ts';
import { Disk, Fifo, Machine, Thread, type Timeline } from './machine.ts';

export type Draw = (chance: WorldChance) => number;

export interface SystemSpec {
  readonly engines: number;
  /** Where everything runs: all on one machine, or each engine on a core of its own beside a machine of Postgres'. */
  readonly place:
    | { readonly kind: 'together'; readonly cores: number; readonly othersShare: number }
    | { readonly kind: 'apart'; readonly postgresCores: number };
  readonly door: 'pubsub' | 'http';
  /** Messages handed out and not yet acknowledged. */
  readonly window: number;
  readonly lanes: number;
  readonly permits: number;
  readonly maxRows: number;
  readonly lingerMs: number;
  /** Longest wait of an answer for its ack, to be stored with it; 0: none. */
  readonly acceptanceLingerMs: number;
  /** To Postgres and back. */
  readonly roundTripMs: number;
  readonly syncMs: number;
  /** From one process to another through Redis. */
  readonly signalMs: number;
  readonly ackTimeoutMs: number;
  readonly answerMs: Draw;
  /** From the answer to the ack. */
  readonly ackMs: Draw;
  readonly loss: number;
  readonly batch: { readonly size: number; readonly lingerMs: number };
}

export interface Message {
  /** First of those that came together: it waits for nothing but the engine. */
  readonly isFirst: boolean;
  readonly publishedAt: number;
  sentAt: number;
  answeredAt: number;
  /** NaN: it is never told of. */
  ackAt: number;
  /** X had passed and nothing had come: the decision, before its commit. */
  givenUpAt: number;
  settledAt: number;
}

export interface Room {
  readonly holder: number;
  readonly lane: number;
  readonly all: Message[];
  /** How many are on disk, and how many of these have begun. */
  stored: number;
  begun: number;
  head: Message | null;
  wasAnswered: boolean;
  isOver: boolean;
  isDeciding: boolean;
  hasPermit: boolean;
  isInQueue: boolean;
}

export function newRoom(number: number, { engines, lanes }: Pick<SystemSpec, 'engines' | 'lanes'>): Room {
  const holder = number % engines;
  const lane = Math.floor(number / engines) % lanes;
  const state = { stored: 0, begun: 0, head: null, wasAnswered: false, isOver: false };
  return { holder, lane, all: [], ...state, isDeciding: false, hasPermit: false, isInQueue: false };
}

/** Of a message's own work in the engine, what its request, its answer and its status are. */
const REQUEST = 0.45;
const ANSWER = 0.2;
const STATUS = 0.35;
/** What a timer does in its place. */
const TIMEOUT = 0.1;
/** Of a statement, what comes before it and what comes after it. */
const BEFORE = 0.5;
/** Telling another process, and hearing it, each. */
const SIGNAL_US = 1.5;
const IDLE_EVERY_MS = 20;

interface Statement {
  readonly lingerMs: number;
  readonly statementUs: number;
  readonly rowUs: number;
}

/** One statement in flight; what comes meanwhile forms the next batch, which waits for as many as the last one left. */
class Lane {
  readonly #system: System;
  readonly #engine: Thread;
  readonly #server: Thread;
  readonly #statement: Statement;
  #waiting: (() => void)[] = [];
  #isRunning = false;
  #expected = 0;
  /** Begins the batch that waits for company; null where none does. */
  #begin: (() => void) | null = null;
  statements = 0;
  rows = 0;

  constructor(system: System, engine: Thread, statement: Statement) {
    this.#system = system;
    this.#engine = engine;
    this.#server = system.newServer();
    this.#statement = statement;
  }

  put(done: () => void): void {
    this.#waiting.push(done);
    if (!this.#isRunning) this.#gather();
    else if (!this.#lacksCompany()) this.#begin?.();
  }

  #lacksCompany(): boolean {
    return this.#expected <= MOST_EXPECTED && this.#waiting.length < this.#expected;
  }

  #gather(): void {
    this.#isRunning = true;
    const begin = (): void => {
      if (this.#begin !== begin) return;
      this.#begin = null;
      this.#flush();
    };
    this.#begin = begin;
    this.#system.timeline.after(this.#lacksCompany() ? this.#statement.lingerMs : 0, begin);
  }

  #flush(): void {
    const { timeline, spec, costs, disk } = this.#system;
    const rows = this.#waiting.splice(0, spec.maxRows);
    this.statements++;
    this.rows += rows.length;
    const { statementUs, rowUs } = this.#statement;
    const ownUs = costs.engine.statementUs;
    const wayMs = spec.roundTripMs / 2;
    const committed = (): void => {
      timeline.after(wayMs, () =>
        this.#engine.do(ownUs * (1 - BEFORE), () => {
          for (const done of rows) done();
          this.#expected = rows.length + this.#waiting.length;
          this.#isRunning = false;
          if (this.#waiting.length > 0) this.#gather();
        }),
      );
    };
    this.#engine.do(ownUs * BEFORE, () =>
      timeline.after(wayMs, () => this.#server.do(statementUs + rowUs * rows.length, () => disk.commit(committed))),
    );
  }
}

class Engine {
  readonly thread: Thread;
  readonly appends: Lane;
  readonly lanes: readonly Lane[];
  readonly reads: Lane;
  readonly queue = new Fifo<Room>();
  freePermits: number;
  /** Statuses that wait for others to share their call. */
  statuses: (() => void)[] = [];
  calls = 0;

  constructor(system: System, machine: Machine) {
    const { spec, costs } = system;
    const { garbageShare: share, garbagePauseUs: pauseUs } = costs.engine;
    this.thread = new Thread(machine, { share, pauseUs });
    const { appendStatementUs, appendRowUs, writeStatementUs, writeRowUs } = costs.postgres;
    const write = { lingerMs: 0, statementUs: writeStatementUs, rowUs: writeRowUs };
    const append = { lingerMs: spec.lingerMs, statementUs: appendStatementUs, rowUs: appendRowUs };
    this.appends = new Lane(system, this.thread, append);
    this.lanes = Array.from({ length: spec.lanes }, () => new Lane(system, this.thread, write));
    this.reads = new Lane(system, this.thread, { ...write, rowUs: writeRowUs / 2 });
    this.freePermits = spec.permits;
  }
}

export class System {
  readonly timeline: Timeline;
  readonly spec: SystemSpec;
  readonly costs: UnitCosts;
  readonly disk: Disk;
  readonly engines: readonly Engine[];
  /** Server processes of Postgres, with all that it does of its own. */
  readonly servers: Thread[] = [];
  readonly #chance: WorldChance;
  readonly #postgres: Machine;
  readonly #platform: Thread | null;
  readonly #source: Thread | null;
  #outstanding = 0;
  readonly #published: [Room, Message][] = [];
  #delivered = 0;
  #nextEngine = 0;
  settled = 0;

  constructor(timeline: Timeline, spec: SystemSpec, costs: UnitCosts, chance: WorldChance) {
    this.timeline = timeline;
    this.spec = spec;
    this.costs = costs;
    this.#chance = chance;
    this.disk = new Disk(timeline, spec.syncMs);
    const { place } = spec;
    const shared = place.kind === 'together' ? new Machine(timeline, place.cores) : null;
    this.#postgres = shared ?? new Machine(timeline, place.kind === 'apart' ? place.postgresCores : 1);
    this.engines = Array.from({ length: spec.engines }, () => new Engine(this, shared ?? new Machine(timeline, 1)));
    this.#platform = shared === null ? null : new Thread(shared);
    this.#source = shared === null ? null : new Thread(shared);
    for (const { thread } of this.engines) this.#idle(thread, costs.engine.idleShare);
    this.#idle(this.newServer(), costs.postgres.idleShare);
    if (shared !== null && place.kind === 'together') this.#others(shared, place);
  }

  newServer(): Thread {
    const server = new Thread(this.#postgres);
    this.servers.push(server);
    return server;
  }

  /** A message that some process of the fleet is handed when there is room for it. */
  publish(room: Room, message: Message): void {
    room.all.push(message);
    this.#published.push([room, message]);
    this.#deliver();
  }

  get callsOfWebhooks(): number {
    return this.engines.reduce((sum, { calls }) => sum + calls, 0);
  }

  #deliver(): void {
    while (this.#outstanding < this.spec.window && this.#delivered < this.#published.length) {
      const [room] = this.#published[this.#delivered++] as [Room, Message];
      this.#outstanding++;
      const engine = this.engines[this.#nextEngine++ % this.engines.length] as Engine;
      const taken = (): void =>
        engine.thread.do(this.costs.engine.intakeUs[this.spec.door], () =>
          engine.appends.put(() => {
            this.#outstanding--;
            this.#deliver();
            room.stored++;
            this.#tell(engine, room);
          }),
        );
      if (this.#source === null) taken();
      else this.#source.do(this.costs.beside.sourceUs + this.costs.beside.publisherUs, taken);
    }
  }

  /** What one process has written another one has to read first. */
  #tell(by: Engine, room: Room): void {
    const holder = this.engines[room.holder] as Engine;
    if (holder === by) {
      this.#wake(room);
      return;
    }
    by.thread.do(SIGNAL_US, () =>
      this.timeline.after(this.spec.signalMs, () =>
        holder.thread.do(SIGNAL_US, () => holder.reads.put(() => this.#wake(room))),
      ),
    );
  }

  #wake(room: Room): void {
    if (room.isDeciding) return;
    room.isDeciding = true;
    this.#decide(room);
  }

  #decide(room: Room): void {
    const engine = this.engines[room.holder] as Engine;
    const before = room.head;
    const hasAnswer = room.wasAnswered && before !== null;
    room.wasAnswered = false;
    const settles = room.isOver && before !== null;
    room.isOver = false;
    if (settles) room.head = null;
    const claims = room.head === null && room.begun < room.stored && this.#hasPermit(engine, room);
    if (claims) room.head = room.all[room.begun++] as Message;
    if (!hasAnswer && !settles && !claims) {
      room.isDeciding = false;
      if (room.head === null && room.begun < room.stored && !room.isInQueue) {
        room.isInQueue = true;
        engine.queue.add(room);
      }
      return;
    }
    const claimed = claims ? (room.head as Message) : null;
    (engine.lanes[room.lane] as Lane).put(() => {
      if (settles) this.#settled(before);
      if (claimed !== null) this.#send(engine, room, claimed);
      this.#decide(room);
    });
  }

  #settled(message: Message): void {
    message.settledAt = this.timeline.now;
    this.settled++;
  }

  #hasPermit(engine: Engine, room: Room): boolean {
    if (room.hasPermit) {
      room.hasPermit = false;
      return true;
    }
    if (engine.freePermits === 0 || engine.queue.size > 0) return false;
    engine.freePermits--;
    return true;
  }

  #giveBack(engine: Engine): void {
    const next = engine.queue.take();
    if (next === undefined) {
      engine.freePermits++;
      return;
    }
    next.isInQueue = false;
    next.hasPermit = true;
    this.#wake(next);
  }

  #send(engine: Engine, room: Room, message: Message): void {
    const { messageUs } = this.costs.engine;
    engine.thread.do(messageUs * REQUEST, () => {
      this.#atPlatform(0.5, () => {
        message.sentAt = this.timeline.now;
        this.timeline.after(this.spec.answerMs(this.#chance), () => {
          message.answeredAt = this.timeline.now;
          this.#expectAck(room, message);
          engine.thread.do(messageUs * ANSWER, () => {
            this.#giveBack(engine);
            if (room.head !== message) return;
            room.wasAnswered = true;
            this.#linger(room);
          });
        });
      });
    });
  }

  /** Answers wait for their acks from half of the longest wait on, and go together. */
  #linger(room: Room): void {
    const halfMs = this.spec.acceptanceLingerMs / 2;
    if (halfMs === 0) {
      this.#wake(room);
      return;
    }
    const waitMs = 2 * halfMs - (this.timeline.now % halfMs);
    this.timeline.after(waitMs, () => room.wasAnswered && this.#wake(room));
  }

  /** The platform's own CPU counts where it shares the machine. */
  #atPlatform(share: number, then: () => void): void {
    if (this.#platform === null) then();
    else this.#platform.do(this.costs.beside.platformUs * share, then);
  }

  #expectAck(room: Room, message: Message): void {
    const { timeline, spec } = this;
    if (this.#chance.hit(spec.loss)) {
      const { thread } = this.engines[room.holder] as Engine;
      timeline.after(spec.ackTimeoutMs, () =>
        thread.do(this.costs.engine.messageUs * TIMEOUT, () => {
          message.givenUpAt = timeline.now;
          this.#over(room, message);
        }),
      );
      return;
    }
    timeline.after(spec.ackMs(this.#chance), () =>
      this.#atPlatform(0.5, () => {
        const engine = this.#chance.pick(this.engines);
        const told = (): void => this.#ack(engine, room, message);
        engine.statuses.push(() => {
          message.ackAt = timeline.now;
          engine.thread.do(this.costs.engine.messageUs * STATUS, told);
        });
        if (engine.statuses.length >= spec.batch.size) this.#call(engine);
        else if (engine.statuses.length === 1) timeline.after(spec.batch.lingerMs, () => this.#call(engine));
      }),
    );
  }

  #call(engine: Engine): void {
    const { statuses } = engine;
    if (statuses.length === 0) return;
    engine.statuses = [];
    engine.calls++;
    engine.thread.do(this.costs.engine.callUs, () => undefined);
    for (const status of statuses) status();
  }

  #ack(engine: Engine, room: Room, message: Message): void {
    if (room.holder === this.engines.indexOf(engine)) {
      this.#over(room, message);
      return;
    }
    // Elsewhere it settles only; the holder is told after that commit.
    const lane = engine.lanes[room.lane % engine.lanes.length] as Lane;
    lane.put(() => {
      if (room.head !== message) return;
      this.#settled(message);
      room.head = null;
      this.#tell(engine, room);
    });
  }

  #over(room: Room, message: Message): void {
    if (room.head !== message) return;
    room.isOver = true;
    this.#wake(room);
  }

  #idle(thread: Thread, share: number): void {
    const again = (): void =>
      this.timeline.after(IDLE_EVERY_MS, () => {
        thread.do(share * IDLE_EVERY_MS * 1_000, () => undefined);
        again();
      });
    if (share > 0) again();
  }

  /** What else the machine does: pieces of work of a few ms at times of their own. */
  #others(machine: Machine, { cores, othersShare }: { cores: number; othersShare: number }): void {
    const PIECE_MS = 2;
    for (let core = 0; core < cores && othersShare > 0; core++) {
      const thread = new Thread(machine);
      const again = (): void =>
        this.timeline.after(this.#chance.around(PIECE_MS / othersShare), () => {
          thread.do(this.#chance.around(PIECE_MS) * 1_000, () => undefined);
          again();
        });
      again();
    }
  }
}
