/**
 * Rooms that have left memory with something waiting, because only an operator can move them: held ones, and paused
 * ones. What is kept of each is what a count of them needs.
 */
import type { Room, RoomRow } from '../room/room.ts';
import type { Hint } from './hints.ts';

/** What is to be known of a room to count it. */
export interface Glance {
  readonly room: Pick<RoomRow, 'shard' | 'id' | 'key' | 'version' | 'phase' | 'reason' | 'since' | 'settled' | 'tail'> &
    Partial<Pick<Room, 'envelopes'>>;
  /** Requests to its platform that are open here. */
  readonly open: { readonly length: number };
}

const NONE: Glance['open'] = [];

export class SetAside {
  readonly #rooms = new Map<number, Glance>();

  keep({ shard, id, key, version, phase, reason, since, settled, tail }: RoomRow): void {
    this.#rooms.set(id, { room: { shard, id, key, version, phase, reason, since, settled, tail }, open: NONE });
  }

  /** It is in memory again, or gone. */
  drop(id: number): void {
    this.#rooms.delete(id);
  }

  /** Its row is said to have changed: whoever reads it finds out whether it still waits. */
  outdate({ id, version }: Hint): void {
    const known = this.#rooms.get(id);
    if (known !== undefined && known.room.version < version) this.#rooms.delete(id);
  }

  /** @param shards null: all */
  forget(shards: ReadonlySet<number> | null): void {
    if (shards === null) this.#rooms.clear();
    else for (const { room } of this.#rooms.values()) if (shards.has(room.shard)) this.#rooms.delete(room.id);
  }

  all(): Iterable<Glance> {
    return this.#rooms.values();
  }
}
