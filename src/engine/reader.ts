import type { Policy, Room, RoomAddress, RoomKey } from '../room/room.ts';
import { Batcher } from './batcher.ts';
import type { Channels } from './channels.ts';
import { POLICY_OF_MISSING_CHANNEL, roomOf } from './policy.ts';
import type { RoomStore, StoredRoom } from './ports.ts';

/** Reads rooms in batches, with their channels' policies laid over them. */
export class RoomReader {
  readonly #channels: Channels;
  readonly #reads: Batcher<RoomAddress, StoredRoom | null>;

  constructor(store: RoomStore, channels: Channels) {
    this.#channels = channels;
    this.#reads = new Batcher({ maxRows: 200, flush: (addresses) => store.readRooms(addresses) });
  }

  /** The room as it is stored, or null where there is none. */
  async read(address: RoomAddress): Promise<Room | null> {
    const stored = await this.#reads.submit(address);
    return stored === null ? null : this.roomOf(stored);
  }

  roomOf(stored: StoredRoom): Room {
    return roomOf(stored, this.policyOf(stored.row.key));
  }

  policyOf(key: RoomKey): Policy {
    return this.#channels.get(key)?.settings.policy ?? POLICY_OF_MISSING_CHANNEL;
  }
}
