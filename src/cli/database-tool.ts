/** The database as an operator at a terminal looks at it and decides about it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Decision, RoomCount } from '../adapters/postgres/decisions.ts';
import { openStores } from '../adapters/postgres/stores.ts';
import type { Config } from '../config.ts';
import { holdAllRooms, type RoomsDecided, releaseAllRooms } from '../engine/all-rooms.ts';
import type { AnotherHistory, DatabaseIdentity } from '../engine/fleet-ports.ts';
import { channelName, POLICY_OF_MISSING_CHANNEL } from '../engine/policy.ts';
import type { Policy } from '../room/room.ts';

export interface DatabaseStatus {
  readonly stored: DatabaseIdentity | null;
  readonly seen: DatabaseIdentity | null;
  readonly anotherHistory: AnotherHistory | null;
  readonly unsafeSettings: readonly string[];
  /** The role may record a decision. */
  readonly mayDecide: boolean;
  /** Workers whose lease is alive. */
  readonly liveWorkers: number;
  readonly rooms: readonly RoomCount[];
  /** The latest ones. */
  readonly decisions: readonly Decision[];
}

export interface Decided extends RoomsDecided {
  /** False where somebody else decided meanwhile: what this one did to the rooms stays, nothing was recorded. */
  readonly recorded: boolean;
}

export interface Deciding {
  readonly decidedBy: string;
  readonly reason: string;
}

export interface DatabaseTool {
  status(): Promise<DatabaseStatus>;
  /** Makes the identity seen now the known one; with `hold`, once every room that waits for something is held. */
  adopt(rooms: 'hold' | 'resend', deciding: Deciding): Promise<Decided>;
  /** Ends that hold. */
  release(as: 'retry' | 'skip' | 'cancel', deciding: Deciding): Promise<Decided>;
  close(): Promise<void>;
}

const DECISIONS_SHOWN = 5;

/** @throws RoomlineError `schema_outdated` or `database_in_recovery`; else what connecting gave */
export async function openDatabaseTool({ postgres, channels }: Config): Promise<DatabaseTool> {
  const opened = openStores({
    ...postgres,
    url: postgres.url.reveal(),
    lanes: 1,
    applicationName: 'roomline database',
    // It is said in the status: a database that must be looked into is not refused.
    allowUnsafeSettings: true,
  });
  const { shards } = await opened.check().catch(async (error: unknown) => {
    await opened.close();
    throw error;
  });
  const { decisions, stores } = opened;
  const policies = new Map<string, Policy>(
    channels.map((channel) => [channelName({ tenant: channel.tenant, channel: channel.name }), channel]),
  );

  async function allRooms() {
    const { databaseTimeMs, stored, seen } = await opened.look();
    const askedAt = performance.now();
    const options = {
      store: stores.rooms,
      shards,
      policyOf: (key: Parameters<typeof channelName>[0]) => policies.get(channelName(key)) ?? POLICY_OF_MISSING_CHANNEL,
      now: () => Math.floor(databaseTimeMs + performance.now() - askedAt),
      pause: (ms: number) => delay(ms),
    };
    return { options, stored, seen };
  }

  return {
    async status() {
      const { stored, seen, anotherHistory, unsafeSettings } = await opened.look();
      const rooms = await decisions.countRooms();
      const listed = await decisions.list(DECISIONS_SHOWN);
      return { stored, seen, anotherHistory, unsafeSettings, ...(await decisions.look()), rooms, decisions: listed };
    },
    async adopt(rooms, deciding) {
      const { options, stored, seen } = await allRooms();
      // First the rooms, then the identity: until that is stored nobody claims.
      const counted = await decisions.countRooms();
      const { open, changed } =
        rooms === 'hold'
          ? await holdAllRooms(options)
          : { open: counted.reduce((sum, one) => sum + one.rooms, 0), changed: 0 };
      const recorded = await decisions.record({
        ...deciding,
        decision: rooms,
        before: stored,
        after: seen ?? stored,
        roomsOpen: open,
        roomsChanged: changed,
      });
      return { open, changed, recorded };
    },
    async release(as, deciding) {
      const { options, stored } = await allRooms();
      const { open, changed } = await releaseAllRooms(options, as);
      const recorded = await decisions.record({
        ...deciding,
        decision: as,
        before: stored,
        after: stored,
        roomsOpen: open,
        roomsChanged: changed,
      });
      return { open, changed, recorded };
    },
    close: () => opened.close(),
  };
}
