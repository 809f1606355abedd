import type { Policy, Room, RoomKey } from '../room/room.ts';
import { Batcher } from './batcher.ts';
import type { Bodies } from './bodies.ts';
import type { Channels } from './channels.ts';
import { POLICY_OF_MISSING_CHANNEL, roomOf } from './policy.ts';
import type { RoomStore, StoredRoom, WantedRoom } from './ports.ts';

/** Reads rooms in batches, with their channels' policies laid over them; bodies that come along are kept. */
export class RoomReader {
  readonly #channels: Channels;
  readonly #bodies: Bodies;
  readonly #reads: Batcher<WantedRoom, StoredRoom | null>;

  constructor(store: RoomStore, channels: Channels, bodies: Bodies) {
    this.#channels = channels;
    this.#bodies = bodies;
    this.#reads = new Batcher({ maxRows: 200, flush: (wanted) => store.readRooms(wanted) });
  }

  /** The room as it is stored, or null where there is none. */
  async read(wanted: WantedRoom): Promise<Room | null> {
    const stored = await this.#reads.submit(wanted);
    return stored === null ? null : this.roomOf(stored);
  }

  roomOf(stored: StoredRoom): Room {
    const { row, headBody } = stored;
    if (headBody !== undefined) this.#bodies.keep(row, row.settled + 1, headBody);
    return roomOf(stored, this.policyOf(row.key));
  }

  policyOf(key: RoomKey): Policy {
    return this.#channels.get(key)?.settings.policy ?? POLICY_OF_MISSING_CHANNEL;
  }
}
