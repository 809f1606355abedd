import type { AuditNote, FleetChange, FleetPicture, FleetStore, ShardWork } from '../../engine/operator-ports.ts';
import { type MemoryDatabase, nextMicrotask } from './database.ts';
import type { MemoryAuditStore } from './operators.ts';
import type { MemoryOwnershipStore } from './ownership.ts';

export class MemoryFleetStore implements FleetStore {
  readonly #database: MemoryDatabase;
  readonly #ownership: MemoryOwnershipStore;
  readonly #audit: MemoryAuditStore;

  constructor(database: MemoryDatabase, ownership: MemoryOwnershipStore, audit: MemoryAuditStore) {
    this.#database = database;
    this.#ownership = ownership;
    this.#audit = audit;
  }

  async look(): Promise<FleetPicture> {
    await nextMicrotask();
    return this.#ownership.picture();
  }

  async countWork(): Promise<ShardWork[]> {
    await nextMicrotask();
    const work = new Map<number, ShardWork>();
    for (const { row } of this.#database.rooms.values()) {
      const waiting = row.tail - row.settled;
      if (waiting === 0) continue;
      const known = work.get(row.shard) ?? { shard: row.shard, rooms: 0, waiting: 0 };
      work.set(row.shard, { shard: row.shard, rooms: known.rooms + 1, waiting: known.waiting + waiting });
    }
    return [...work.values()];
  }

  async change(membership: number, change: FleetChange, note: AuditNote): Promise<boolean> {
    await nextMicrotask();
    if (!this.#ownership.change(membership, change)) return false;
    this.#audit.add(note);
    return true;
  }
}
