/** The engine put together from its ports: the same in a server, in a test and in the simulation. */
import { handOverLimitMs } from '../room/shard.ts';
import { Acks } from './acks.ts';
import { Bodies } from './bodies.ts';
import { Channels } from './channels.ts';
import { createConditions } from './conditions.ts';
import { Attempts } from './dispatch.ts';
import { Gaps } from './gaps.ts';
import { Hints, Telling } from './hints.ts';
import type { Instruments } from './instruments.ts';
import { Intake } from './intake.ts';
import { Late } from './late.ts';
import { OpenClaims } from './open-claims.ts';
import { Ownership } from './ownership.ts';
import type { ChannelSettings } from './policy.ts';
import type {
  Chance,
  ChannelKey,
  EndOfTurn,
  PlatformChannel,
  SettableClock,
  SharedRates,
  Signals,
  Stores,
} from './ports.ts';
import type { Recipients } from './recipients.ts';
import type { References } from './reference.ts';
import { Rooms } from './rooms.ts';
import { defineService, type Service } from './service.ts';
import { RoomWriter } from './settle.ts';
import { StoreWork } from './store-work.ts';
import { createSweeper } from './sweeper.ts';

export interface EngineSettings {
  /** The name of the node, the same in every life. */
  readonly name: string;
  /** What this process does; without `worker` it holds no shards. */
  readonly roles: readonly string[];
  /** Its part of the shards, against that of others. */
  readonly weight: number;
  readonly shards: number;
  readonly lanes: number;
  readonly maxBatchRows: number;
  /** Messages in one append; as many as in other batches where it is absent. */
  readonly maxIntakeRows?: number;
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  readonly lingerMs: number;
  readonly acceptanceLingerMs: number;
  readonly bodyCacheBytes: number;
  readonly leaseMs: number;
  readonly renewEveryMs: number;
  /** How often the fleet is looked at while no signals come, at most. */
  readonly pollEveryMs: number;
  /** The same in all processes that hear each other's signals; left out: not known. */
  readonly hears?: string;
  readonly sweepEveryMs: number;
  /** How often, beside that, what was written lately is looked at while no signals can be expected. */
  readonly sweepWithoutSignalsMs: number;
}

export interface EngineDependencies {
  readonly stores: Stores;
  readonly clock: SettableClock;
  readonly chance: Chance;
  readonly endOfTurn: EndOfTurn;
  readonly references: References;
  /** Absent: nobody is told whom messages go to. */
  readonly recipients?: Pick<Recipients, 'addressed'>;
  readonly channels: readonly ChannelSettings[];
  readonly platform: (key: ChannelKey) => PlatformChannel | null;
  /** Null: limits are kept by each process's share. */
  readonly sharedRates: SharedRates | null;
  /** Null: one process alone, nobody to tell. */
  readonly signals: Signals | null;
  readonly instruments: Instruments;
  readonly newWorkerId: () => string;
  /** True for an error of the store that the same value would meet again. */
  readonly isPermanent: (error: unknown) => boolean;
  /** The engine cannot go on: the process ends, and its restart is a take-over. */
  readonly onFailure: (error: unknown) => void;
}

export interface Engine {
  readonly service: Service;
  readonly intake: Intake;
  readonly acks: Acks;
  readonly rooms: Rooms;
  readonly gaps: Gaps;
  readonly channels: Channels;
  readonly ownership: Ownership;
  /** Takes these settings from now on, of a channel that is there or of a new one: its rooms go on under them. */
  configureChannel(settings: ChannelSettings): void;
  /** Its rooms keep their messages and wait; what is being sent goes on to its answer. */
  removeChannel(key: ChannelKey): Promise<void>;
}

export function createEngine(settings: EngineSettings, to: EngineDependencies): Engine {
  const { stores, clock, chance, references, instruments, platform } = to;
  const channels = new Channels(to.channels, {
    clock,
    store: stores.channels,
    instruments,
    onStored: () => to.signals?.publish({ kind: 'channels' }),
    share: () => Math.max(1, ownership.shards.size) / settings.shards,
    sharedRates: to.sharedRates,
  });
  const bodies = new Bodies(stores.rooms, settings.bodyCacheBytes);
  const late = new Late({ history: stores.history, channels, clock, instruments });
  const work = new StoreWork(clock, { forgetAfterMs: settings.leaseMs, isAnswer: to.isPermanent });
  const ownership: Ownership = new Ownership({
    store: stores.ownership,
    clock,
    instruments,
    signals: to.signals,
    chance,
    newWorkerId: to.newWorkerId,
    name: settings.name,
    roles: settings.roles,
    weight: settings.weight,
    leaseMs: settings.leaseMs,
    renewEveryMs: settings.renewEveryMs,
    pollEveryMs: settings.pollEveryMs,
    hears: settings.hears ?? null,
    work,
    onBegun: () => channels.restore(),
    onAcquired: (shards) => sweeper.acquired(shards),
    onLeaving: (leaving) => rooms.leave(leaving),
    isQuiet: (shard) => openClaims.isQuiet(shard),
    onReleased: (released) => rooms.forget(released),
    onTrusted: () => rooms.claimAgain(),
    onLost: () => {
      rooms.forget(null);
      bodies.clear();
    },
    onFailure: to.onFailure,
  });
  const openClaims = new OpenClaims((shard) => ownership.becameQuiet(shard));
  const writer = new RoomWriter({
    store: { compareAndSet: (...batch) => work.watch('writes', stores.rooms.compareAndSet(...batch)) },
    clock,
    lanes: settings.lanes,
    maxRows: settings.maxBatchRows,
    proof: () => ownership.proof(),
    instruments,
  });
  const attempts = new Attempts({ clock, platform, channels, bodies, references, tenure: ownership, instruments });
  const gaps = new Gaps({
    store: stores.rooms,
    channels,
    tenure: ownership,
    clock,
    instruments,
    maxRows: settings.maxBatchRows,
    raised: (address, tail) => hints.raised(address, tail),
  });
  const rooms: Rooms = new Rooms({
    acceptanceLingerMs: settings.acceptanceLingerMs,
    clock,
    chance,
    store: stores.rooms,
    inbox: stores.inbox,
    writer,
    channels,
    bodies,
    attempts,
    late,
    tenure: ownership,
    telling: new Telling(to.signals, clock),
    openClaims,
    endOfTurn: to.endOfTurn,
    gaps,
    instruments,
  });
  const { rooms: store, inbox } = stores;
  const { shards, maxIntakeRows: maxRows = settings.maxBatchRows, lingerMs } = settings;
  const { maxWaiting, maxWaitingBytes } = settings;
  const hints: Hints = new Hints({
    signals: to.signals,
    store,
    rooms,
    channels,
    tenure: ownership,
    clock,
    onMissed: () => sweeper.lookNow(),
    onChannels: () => conditions.changed(),
  });
  const onAck = (channel: ChannelKey): void => hints.ackSeen(channel);
  const acks = new Acks({
    rooms,
    late,
    inbox,
    store,
    bodies,
    channels,
    references,
    clock,
    chance,
    shards,
    instruments,
    onAck,
  });
  const { isPermanent, signals, onFailure } = to;
  const intake = new Intake({
    store,
    rooms,
    gaps,
    clock,
    references,
    instruments,
    maxRows,
    maxWaiting,
    maxWaitingBytes,
    lingerMs,
    endOfTurn: to.endOfTurn,
    ...(to.recipients === undefined ? {} : { recipients: to.recipients }),
    isPermanent,
    raised: (address, tail) => hints.raised(address, tail),
    mayAccept: () => ownership.anotherHistory === null,
  });
  const sweeper = createSweeper({
    store: {
      scan: (...scan) => work.watch('scans', store.scan(...scan)),
      sweep: (...sweep) => work.watch('scans', store.sweep(...sweep)),
      changedSince: (...since) => work.watch('scans', store.changedSince(...since)),
    },
    rooms,
    ownership,
    channels,
    clock,
    everyMs: settings.sweepEveryMs,
    withoutSignalsMs: settings.sweepWithoutSignalsMs,
    signals,
    hints,
    instruments,
    onFailure,
  });
  const conditions = createConditions({
    channels,
    clock,
    signals,
    alone: () => ownership.alone,
    storeFailed: (error) => ownership.storeFailed(error),
    onFailure,
  });
  const service = defineService('engine', async (scope) => {
    scope.onStop(() => channels.close());
    scope.onStop(() => rooms.close());
    scope.onStop(() => ownership.service.stop());
    await ownership.service.start();
    scope.onStop(hints.listen());
    scope.onStop(() => sweeper.service.stop());
    await sweeper.service.start();
    scope.onStop(() => conditions.service.stop());
    await conditions.service.start();
    scope.onStop(() => rooms.drain());
    scope.onStop(() => ownership.leave(handOverLimitMs(settings.leaseMs)));
    scope.onStop(() => intake.close());
  });
  return {
    service,
    intake,
    acks,
    rooms,
    gaps,
    channels,
    ownership,
    configureChannel(one) {
      channels.configure(one);
      rooms.reconfigured(one.key);
    },
    async removeChannel(key) {
      const removed = channels.remove(key);
      rooms.reconfigured(key);
      await removed;
    },
  };
}
