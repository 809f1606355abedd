/**
 * Engines on memory stores for component tests: time moves when told to, the platform answers when the test says so,
 * and every call to a store can be made to fail.
 */
import { endOfTurn } from '../../simulators/world/time.ts';
import { type Fault, type FaultAction, faultyStores, type StoreCall } from '../../src/adapters/memory/faulty.ts';
import { openMemoryStores } from '../../src/adapters/memory/stores.ts';
import type { BufferCursors } from '../../src/engine/buffer-ports.ts';
import { createEngine, type Engine, type EngineSettings } from '../../src/engine/engine.ts';
import type { AnotherHistory } from '../../src/engine/fleet-ports.ts';
import type { Instruments } from '../../src/engine/instruments.ts';
import { contentDigest } from '../../src/engine/message.ts';
import type { OperatorStores } from '../../src/engine/operator-ports.ts';
import { type ChannelSettings, channelName } from '../../src/engine/policy.ts';
import type {
  ChannelKey,
  HistoryEntry,
  IntakeResult,
  LookupResult,
  NewMessage,
  PlatformChannel,
  Preparer,
  RoomWrite,
  SendRequest,
  SendResult,
  SettableClock,
  StatusItem,
  Stores,
  WriteResult,
} from '../../src/engine/ports.ts';
import { Recipients } from '../../src/engine/recipients.ts';
import { createReferences } from '../../src/engine/reference.ts';
import type { Nack, Policy, RoomKey, RoomRow } from '../../src/room/room.ts';
import { shardOf } from '../../src/room/shard.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { ALL_ROLES } from './fleet.ts';
import type { SignalBus } from './signals.ts';

export const START = 1_700_000_000_000;
export const SHARDS = 4;
export const CHANNEL = { tenant: 'default', channel: 'support' } as const satisfies ChannelKey;

// ---------------------------------------------------------------------------------------------------------------- time

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Time that moves when told to. Timers fire in the order of their times, those of one time in the order of setting. */
export class SteppedTime {
  #now = START;
  readonly #timers = new Set<Timer>();

  get now(): number {
    return this.#now;
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#timers.size;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { at: this.#now + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Moves on by `ms`; whatever falls due runs at its time, and all promises settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settled();
    for (let next = this.#next(end); next !== null; next = this.#next(end)) {
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settled();
    }
    this.#now = end;
  }

  /** Moves on from timer to timer until the condition holds; fails where it does not within `limitMs`. */
  async until(condition: () => boolean, limitMs = 600_000): Promise<void> {
    const end = this.#now + limitMs;
    await settled();
    while (!condition()) {
      const next = this.#next(end);
      if (next === null) throw new Error(`it did not come true within ${limitMs} ms`);
      await this.advance(Math.max(0, next.at - this.#now));
    }
  }

  #next(end: number): Timer | null {
    let first: Timer | null = null;
    for (const timer of this.#timers) if (timer.at <= end && (first === null || timer.at < first.at)) first = timer;
    return first;
  }
}

/** Lets every promise that can settle do so: microtasks run to their end before the next turn of the event loop. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** One process's clock; its engine time is `wrongByMs` off until it is synchronized. */
function processClock(time: SteppedTime, wrongByMs: number): SettableClock {
  const bootedAt = time.now;
  let offset = bootedAt + wrongByMs;
  const monotonic = () => time.now - bootedAt;
  return {
    now: () => monotonic() + offset,
    monotonic,
    after: (delayMs, callback) => time.after(delayMs, callback),
    synchronize(databaseTimeMs) {
      offset = databaseTimeMs - monotonic();
    },
  };
}

// ------------------------------------------------------------------------------------------------------------ platform

/** A request that the platform has received and not answered. */
export class OpenSend {
  readonly channel: string;
  readonly request: SendRequest;
  readonly room: string;
  readonly messageId: string;
  readonly at: number;
  readonly #resolve: (result: SendResult) => void;

  constructor(channel: string, request: SendRequest, at: number, resolve: (result: SendResult) => void) {
    this.channel = channel;
    this.request = request;
    this.at = at;
    this.#resolve = resolve;
    const { to, content } = JSON.parse(new TextDecoder().decode(request.body)) as {
      to: string;
      content: { id: string };
    };
    this.room = to;
    this.messageId = content.id;
  }

  async answer(result: SendResult): Promise<void> {
    this.#resolve(result);
    await settled();
  }

  accept(platformId: string | null = null, platformAt: number | null = null): Promise<void> {
    return this.answer({ kind: 'accepted', platformId, platformAt, duplicate: false });
  }

  refuse(nack: Partial<Nack> = {}): Promise<void> {
    return this.answer({ kind: 'refused', nack: nackOf(nack) });
  }

  fail(code = 'timeout'): Promise<void> {
    return this.answer({ kind: 'unknown', code, bytesLeft: true });
  }
}

export function nackOf(wishes: Partial<Nack> = {}): Nack {
  return { permanent: false, scope: 'message', retryAfterMs: null, code: 'busy', ...wishes };
}

/** Every request that it ever received, in order; answers by hand, or by `answers` where that returns something. */
export class ScriptedPlatform {
  readonly sends: OpenSend[] = [];
  answers: (send: OpenSend) => SendResult | null = () => null;
  lookUp: ((reference: string) => Promise<LookupResult>) | null = null;
  preparer: Preparer | null = null;
  readonly #time: SteppedTime;

  constructor(time: SteppedTime) {
    this.#time = time;
  }

  channel(key: ChannelKey): PlatformChannel {
    const lookUp = this.lookUp;
    return {
      ...(this.preparer === null ? {} : { prepare: this.preparer }),
      send: (request) =>
        new Promise((resolve) => {
          const send = new OpenSend(channelName(key), request, this.#time.now, resolve);
          this.sends.push(send);
          const answer = this.answers(send);
          if (answer !== null) resolve(answer);
        }),
      lookup: lookUp === null ? null : (reference) => lookUp(reference),
      senderId: null,
      checkContent: null,
      handshake: null,
      verify: () => ({ kind: 'verified' }),
      readStatuses: () => [],
      close: () => Promise.resolve(),
    };
  }

  /** The latest request. */
  get last(): OpenSend {
    const last = this.sends.at(-1);
    if (last === undefined) throw new Error('nothing was sent');
    return last;
  }

  /** `room/message id` of every request, in order. */
  get log(): string[] {
    return this.sends.map((send) => `${send.room}/${send.messageId}`);
  }
}

// ------------------------------------------------------------------------------------------------------------- engines

export function channelOf(
  wishes: Partial<Omit<ChannelSettings, 'policy'>> & { readonly policy?: Partial<Policy> } = {},
): ChannelSettings {
  return {
    key: CHANNEL,
    account: 'account-1',
    platform: 'scripted',
    sendTimeoutMs: 5_000,
    maxConcurrentSends: 64,
    channelLimit: { perSecond: 0, burst: 1 },
    accountLimit: { perSecond: 0, burst: 1 },
    echoesReference: 'always',
    ackOutage: { afterMs: 30_000, minTimeouts: 20, gapMs: 500 },
    probe: { initialMs: 1_000, maxMs: 30_000 },
    ...wishes,
    policy: {
      unlockedBy: 'delivered',
      ackTimeoutMs: 5_000,
      minGapMs: 0,
      roomLimit: { everyMs: 0, burst: 1 },
      maxAttempts: 5,
      backoff: { initialMs: 500, maxMs: 60_000, factor: 2, jitter: 0 },
      unknownGraceMs: 2_000,
      unknownPolicy: 'resend',
      failurePolicy: 'move_on',
      ...wishes.policy,
    },
  };
}

export interface BedOptions {
  readonly channels?: readonly ChannelSettings[];
  readonly settings?: Partial<EngineSettings>;
  /** Instead of a scripted sender for each of the channels that there are at the start. */
  readonly platform?: (key: ChannelKey) => PlatformChannel | null;
  /** How wrong a process's wall clock is before it has asked the database. */
  readonly wallWrongByMs?: number;
  /** Null or left out: there are none. */
  readonly signals?: SignalBus | null;
  /** What is wrong with the database's past at this moment. */
  readonly anotherHistory?: () => AnotherHistory | null;
  /** Laid over the memory stores, under the faults: what every process sees. */
  readonly database?: (stores: Stores) => Stores;
}

export interface StoredWrite {
  readonly write: RoomWrite;
  readonly result: WriteResult;
}

/** One database and one platform; processes come and go. */
export class Bed {
  readonly time = new SteppedTime();
  readonly platform = new ScriptedPlatform(this.time);
  readonly stores: Stores;
  readonly operators: OperatorStores;
  readonly bufferCursors: BufferCursors;
  /** Every room write that reached the database, with what it answered. */
  readonly writes: StoredWrite[] = [];
  readonly #options: BedOptions;
  #processes = 0;

  constructor(options: BedOptions = {}) {
    this.#options = options;
    const anotherHistory = options.anotherHistory ?? (() => null);
    const shards = options.settings?.shards ?? SHARDS;
    const memory = openMemoryStores({ shards, now: () => this.time.now, anotherHistory });
    this.operators = memory.operators;
    this.bufferCursors = memory.bufferCursors;
    this.stores = this.#watched(options.database?.(memory.stores) ?? memory.stores);
  }

  process(settings: Partial<EngineSettings> = {}): Process {
    const options = { ...this.#options, settings: { ...this.#options.settings, ...settings } };
    return new Process(this, options, ++this.#processes);
  }

  async boot(settings: Partial<EngineSettings> = {}): Promise<Process> {
    const process = this.process(settings);
    await process.engine.service.start();
    await settled();
    return process;
  }

  /** Writes that took effect. */
  get committed(): RoomWrite[] {
    return this.writes.filter(({ result }) => result.kind === 'committed').map(({ write }) => write);
  }

  async row(room: string, channel: ChannelKey = CHANNEL): Promise<RoomRow> {
    const key = { ...channel, room };
    const stored = await this.stores.rooms.findRoom(key, shardOf(key, SHARDS));
    if (stored === null) throw new Error(`there is no room ${room}`);
    return stored.row;
  }

  async entry(room: string, sequence: number, channel: ChannelKey = CHANNEL): Promise<HistoryEntry> {
    const entry = await this.stores.history.readSettled(await this.row(room, channel), sequence);
    if (entry === null) throw new Error(`${room}/${sequence} has not settled`);
    return entry;
  }

  /** What became of the room's messages so far, in order. */
  async outcomes(room: string, channel: ChannelKey = CHANNEL): Promise<string[]> {
    const row = await this.row(room, channel);
    const entries = await this.stores.history.listRoom(row, null, 10_000);
    return entries
      .filter((entry): entry is HistoryEntry => 'outcome' in entry)
      .map((entry) => entry.outcome)
      .reverse();
  }

  #watched(stores: Stores): Stores {
    const { rooms } = stores;
    const watched = new Proxy(rooms, {
      get: (target, method) => {
        if (method === 'compareAndSet') {
          return async (...args: Parameters<typeof rooms.compareAndSet>) => {
            const results = await target.compareAndSet(...args);
            args[1].forEach((write, index) => {
              this.writes.push({ write, result: results[index] as WriteResult });
            });
            return results;
          };
        }
        const member: unknown = Reflect.get(target, method);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    return { ...stores, rooms: watched };
  }
}

type GaugeName = 'livenessViolations' | 'shardsHeld' | 'anotherHistory' | 'storeFailingSeconds' | 'signalsUnheard';

/** One engine. Dead, it hears nothing more; what it has sent to the database or the platform takes its course. */
export class Process {
  readonly engine: Engine;
  /** Writes nothing unless it is started. */
  readonly recipients: Recipients;
  readonly clock: SettableClock;
  readonly instruments: Instruments;
  readonly logged: { readonly event: string; readonly fields: Readonly<Record<string, unknown>> }[] = [];
  readonly calls: StoreCall[] = [];
  readonly failures: unknown[] = [];
  /** Decides about every call to a store. */
  faults: (call: StoreCall) => FaultAction | Fault = () => 'run';
  readonly references = createReferences('a secret of this test');

  constructor(bed: Bed, options: BedOptions, number: number) {
    this.clock = processClock(bed.time, options.wallWrongByMs ?? 0);
    const event = (name: string, fields: object) => {
      this.logged.push({ event: name, fields: fields as Record<string, unknown> });
    };
    this.instruments = {
      log: { event, flush: () => undefined, writes: () => true },
      metrics: createMetrics({ version: 'test' }),
      telemetry: new Telemetry(),
      hash: recipientHasher('a key of this test'),
    };
    const stores = faultyStores(bed.stores, {
      interpose: (call) => {
        this.calls.push(call);
        return this.faults(call);
      },
      clock: bed.time,
    });
    const channels = options.channels ?? [channelOf()];
    const platforms = new Map(channels.map(({ key }) => [channelName(key), bed.platform.channel(key)]));
    let lives = 0;
    const onFailure = (error: unknown): void => void this.failures.push(error);
    const { clock, instruments } = this;
    this.recipients = new Recipients({ store: bed.operators.recipients, clock, instruments, onFailure });
    this.engine = createEngine(
      {
        name: `node-${number}`,
        roles: ALL_ROLES,
        weight: 1,
        pollEveryMs: 250,
        shards: SHARDS,
        lanes: 1,
        maxBatchRows: 100,
        maxWaiting: 1_000,
        maxWaitingBytes: 134_217_728,
        lingerMs: 0,
        acceptanceLingerMs: 0,
        bodyCacheBytes: 1_000_000,
        leaseMs: 10_000,
        renewEveryMs: 2_000,
        sweepEveryMs: 5_000,
        sweepWithoutSignalsMs: 250,
        ...options.settings,
      },
      {
        stores,
        clock: this.clock,
        chance: () => 0,
        endOfTurn,
        references: this.references,
        recipients: this.recipients,
        channels,
        platform: options.platform ?? ((key) => platforms.get(channelName(key)) ?? null),
        sharedRates: null,
        signals: options.signals?.port() ?? null,
        instruments: this.instruments,
        newWorkerId: () => `worker-${number}.${++lives}`,
        isPermanent: (error) => error instanceof RefusedValueError,
        onFailure,
      },
    );
  }

  /** No call to a store has any effect or answer but an error. */
  loseStores(action: FaultAction = 'fail_before'): void {
    this.faults = () => action;
  }

  regainStores(): void {
    this.faults = () => 'run';
  }

  /** Fails the next call of this name; everything else runs. */
  failNext(store: StoreCall['store'], method: string, action: FaultAction | Fault = 'fail_before'): void {
    let done = false;
    this.faults = (call) => {
      if (done || call.store !== store || call.method !== method) return 'run';
      done = true;
      return action;
    };
  }

  countOf(store: StoreCall['store'], method: string): number {
    return this.calls.filter((call) => call.store === store && call.method === method).length;
  }

  async publish(room: string, ids: readonly string[], wishes: Partial<NewMessage> = {}): Promise<IntakeResult[]> {
    const accepting = ids.map((id) => this.engine.intake.accept(messageOf(room, id, wishes)));
    const results = await Promise.all(accepting);
    await settled();
    return results;
  }

  /** An ack that carries our reference, as a webhook brings it. */
  async ack(
    bed: Bed,
    room: string,
    sequence: number,
    item: Partial<Extract<StatusItem, { kind: 'status' }>> = {},
  ): Promise<void> {
    const reference = this.references.encode(await bed.row(room), sequence);
    await this.engine.acks.receive(CHANNEL, [statusOf({ reference, ...item })]);
    await settled();
  }

  async gauge(name: GaugeName): Promise<number> {
    const { values } = await this.instruments.metrics[name].get();
    return values[0]?.value ?? 0;
  }
}

/** What a store says of a value that it will never take. */
export class RefusedValueError extends Error {
  override readonly name = 'RefusedValueError';
}

export function statusOf(
  wishes: Partial<Extract<StatusItem, { kind: 'status' }>> = {},
): Extract<StatusItem, { kind: 'status' }> {
  return {
    kind: 'status',
    reference: null,
    platformId: null,
    level: 'delivered',
    nack: null,
    at: null,
    cumulative: false,
    ...wishes,
  };
}

export function messageOf(room: string, id: string, wishes: Partial<NewMessage> = {}): NewMessage {
  const key: RoomKey = wishes.key ?? { ...CHANNEL, room };
  const body = new TextEncoder().encode(JSON.stringify({ to: room, content: { id } }));
  return {
    shard: shardOf(key, SHARDS),
    messageId: id,
    body,
    digest: contentDigest(wishes.body ?? body),
    acceptedAt: START,
    notBefore: null,
    expiresAt: null,
    ackTimeoutMs: null,
    failurePolicy: null,
    supersedes: null,
    source: 'pubsub',
    ...wishes,
    key,
  };
}

/** The same stores with some methods of the room store replaced. */
export function withRooms(stores: Stores, methods: Partial<Stores['rooms']>): Stores {
  return { ...stores, rooms: overlaid({ ...methods } as Stores['rooms'], stores.rooms) };
}

/** `over` where it has the method itself, else `under`. */
export function overlaid<T extends object>(over: T, under: T): T {
  return new Proxy(under, {
    get(target, name) {
      const own: unknown = Object.hasOwn(over, name) ? Reflect.get(over, name) : undefined;
      const member: unknown = own ?? Reflect.get(target, name);
      return typeof member === 'function' && own === undefined ? member.bind(target) : member;
    },
  });
}
