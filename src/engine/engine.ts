/** The engine put together from its ports: the same in a server, in a test and in the simulation. */
import { Acks } from './acks.ts';
import { Bodies } from './bodies.ts';
import { Channels } from './channels.ts';
import { Attempts } from './dispatch.ts';
import type { Instruments } from './instruments.ts';
import { Intake } from './intake.ts';
import { Late } from './late.ts';
import { Ownership } from './ownership.ts';
import type { ChannelSettings } from './policy.ts';
import type { Chance, ChannelKey, PlatformChannel, SettableClock, SharedRates, Stores } from './ports.ts';
import type { References } from './reference.ts';
import { Rooms } from './rooms.ts';
import { defineService, type Service } from './service.ts';
import { RoomWriter } from './settle.ts';
import { createSweeper, readAll } from './sweeper.ts';

export interface EngineSettings {
  readonly shards: number;
  readonly lanes: number;
  readonly maxBatchRows: number;
  readonly maxWaiting: number;
  readonly lingerMs: number;
  readonly bodyCacheBytes: number;
  readonly leaseMs: number;
  readonly renewEveryMs: number;
  readonly sweepEveryMs: number;
}

export interface EngineDependencies {
  readonly stores: Stores;
  readonly clock: SettableClock;
  readonly chance: Chance;
  readonly references: References;
  readonly channels: readonly ChannelSettings[];
  readonly platform: (key: ChannelKey) => PlatformChannel | null;
  /** Null: limits are kept by each process's share. */
  readonly sharedRates: SharedRates | null;
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
  readonly channels: Channels;
  readonly ownership: Ownership;
}

export function createEngine(settings: EngineSettings, to: EngineDependencies): Engine {
  const { stores, clock, chance, references, instruments, platform } = to;
  const channels = new Channels(to.channels, {
    clock,
    store: stores.channels,
    instruments,
    share: () => Math.max(1, ownership.shards.size) / settings.shards,
    sharedRates: to.sharedRates,
  });
  const bodies = new Bodies(stores.rooms, settings.bodyCacheBytes);
  const late = new Late({ history: stores.history, clock, instruments });
  const ownership: Ownership = new Ownership({
    store: stores.ownership,
    clock,
    instruments,
    newWorkerId: to.newWorkerId,
    leaseMs: settings.leaseMs,
    renewEveryMs: settings.renewEveryMs,
    onBegun: () => channels.restore(),
    onAcquired: (shards) =>
      readAll(stores.rooms, shards, 'all', clock.now(), (stored) => void rooms.found(stored, 'take_over')),
    onTrusted: () => rooms.claimAgain(),
    onLost: () => {
      rooms.forgetAll();
      bodies.clear();
    },
    onFailure: to.onFailure,
  });
  const writer = new RoomWriter({
    store: stores.rooms,
    clock,
    lanes: settings.lanes,
    maxRows: settings.maxBatchRows,
    proof: () => ownership.proof(),
    instruments,
  });
  const attempts = new Attempts({ clock, platform, channels, bodies, references, tenure: ownership, instruments });
  const rooms: Rooms = new Rooms({
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
    instruments,
  });
  const { rooms: store, inbox } = stores;
  const { shards, maxBatchRows: maxRows, maxWaiting, lingerMs } = settings;
  const acks = new Acks({ rooms, late, inbox, store, channels, references, clock, chance, shards, instruments });
  const { isPermanent } = to;
  const intake = new Intake({
    store,
    rooms,
    clock,
    references,
    instruments,
    maxRows,
    maxWaiting,
    lingerMs,
    isPermanent,
    mayAccept: () => ownership.anotherHistory === null,
  });
  const sweeper = createSweeper({
    store,
    rooms,
    ownership,
    channels,
    clock,
    everyMs: settings.sweepEveryMs,
    instruments,
    onFailure: to.onFailure,
  });
  const service = defineService('engine', async (scope) => {
    scope.onStop(() => channels.close());
    scope.onStop(() => rooms.close());
    scope.onStop(() => ownership.service.stop());
    await ownership.service.start();
    scope.onStop(() => sweeper.stop());
    await sweeper.start();
    scope.onStop(() => rooms.drain());
    scope.onStop(() => intake.close());
  });
  return { service, intake, acks, rooms, channels, ownership };
}
